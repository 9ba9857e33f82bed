"""The bundled salaries, mutated in one way each, through the supervised pipeline: a result, or one line why not.

    python benchmarks/mutations.py [--files 500] [--seed 0]

Each file is read and runs through all nodes with the options of `salaries`, but one member and one
epoch. Exit status 1 where anything but a refusal of Torchlane's own ends a run, and where a result
rests on misread rows: `Mutated` says which rows may be kept.
"""

import argparse
import csv
import gzip
import io
import logging
import sys
import tempfile
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
import yaml
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner

import torchlane
from torchlane.cli import explain
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import SECTIONS
from torchlane.core.rows.checking import ROW
from torchlane.datasets.facts import FactsDataset
from torchlane.datasets.rows import RawRowsDataset
from torchlane.datasets.studies import StudiesDataset
from torchlane.pipelines.supervised import create_pipeline

PROJECT = Path(__file__).resolve().parents[1]
SALARIES = PROJECT / "data/01_raw/salaries.csv"
PARAMETERS = yaml.safe_load((PROJECT / "conf/base/parameters/salaries.yml").read_text())["salaries"]
DECLARED = {name: column["kind"] for name, column in PARAMETERS["data"]["columns"].items()}
TARGET = PARAMETERS["data"]["target"]
Table = list[list[str]]  # a list a line, the header first
Row = tuple[float | str, ...]  # the declared columns, read


class Mutated(NamedTuple):
    """A file, and what may be kept of it.

    Each clean row is one of `truth`, but for `strange` ones; and where `complete`, all of `truth` is
    kept. Of its rows, all but `lost` are either kept or rejected. `data` are options that replace those
    of the section, a column's included.
    """

    content: bytes
    truth: Table
    strange: int = 0
    complete: bool = False
    lost: int = 0
    data: dict[str, Any] = {}


class Kept(MemoryDataset):
    """Data in memory that a runner does not drop when the last node has read them."""

    def _release(self) -> None:
        pass


class MisreadError(Exception):
    """A result that rests on rows that the file does not hold."""


def main() -> None:
    """Mutate, run, judge; print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    refusals: dict[str, Counter[str]] = defaultdict(Counter)
    failures, all_mutations = 0, MUTATIONS | TYPED
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "salaries.csv")
        for number in range(arguments.files):
            name = list(all_mutations)[number % len(all_mutations)]
            random = Random(f"{arguments.seed} {number}")
            mutated = all_mutations[name](read_table(), random)
            path.write_bytes(mutated.content)
            outcomes[name]["files"] += 1
            try:
                kept, rejected = run(path, mutated.data)
                judge(mutated, kept, rejected)
            except Exception as error:
                if is_refusal(error):
                    outcomes[name]["refused"] += 1
                    refusals[name][explain(error).replace(str(path), path.name)] += 1
                else:
                    failures += 1
                    outcomes[name]["failures"] += 1
                    print(f"file {number} ({name}) with seed {arguments.seed}:", file=sys.stderr)
                    traceback.print_exception(error)
            else:
                outcomes[name]["results"] += 1
                outcomes[name]["rejected"] += rejected
    print_outcomes(outcomes, refusals)
    if failures:
        sys.exit(f"{failures} of {arguments.files} files ended neither with a right result nor with a refusal")


def run(path: Path, data: dict[str, Any]) -> tuple[list[Row], int]:
    """Run the whole pipeline: the clean rows, and how many were rejected."""
    declared = {**PARAMETERS["data"], **data}
    declared["columns"] = {**PARAMETERS["data"]["columns"], **data.get("columns", {})}
    sections = {**PARAMETERS, "data": declared, "training": {**PARAMETERS.get("training", {}), "members": 1, "epochs": 1}}
    pipeline = create_pipeline("salaries")
    catalog = DataCatalog()
    for name in pipeline.datasets():
        catalog[name] = Kept(copy_mode="assign")
    catalog["salaries.raw_rows"] = RawRowsDataset(filepath=str(path))
    for name in pipeline.inputs():
        if name.endswith("checkpoints"):
            catalog[name].save(NoCheckpoints())
    catalog["salaries.studies"] = StudiesDataset(use_case="salaries", filepath=str(path.with_name("search.sqlite")))
    about = {"model": "model.safetensors", "inbox": "inbox", "environment": "", "given": {}}
    catalog["salaries.facts"] = FactsDataset(use_case="salaries", filepath=str(path.with_name("facts.json")), **about)
    for name, model in SECTIONS.items():
        if f"params:salaries.{name}" in pipeline.inputs():
            catalog[f"params:salaries.{name}"].save(model.model_validate(sections.get(name, {})))
    SequentialRunner().run(pipeline, catalog)
    clean, rejected = catalog["salaries.clean_rows"].load(), catalog["salaries.rejected_rows"].load()
    clean = clean[[*declared["columns"]]]
    dates = {name: clean[name].dt.strftime(DATE) for name in clean.select_dtypes("datetimetz")}
    rows = clean.assign(**dates).astype(object).where(clean.notna(), "")
    return list(rows.itertuples(index=False, name=None)), rejected[ROW].nunique()


def judge(mutated: Mutated, kept: list[Row], rejected: int, columns: dict[str, str] = DECLARED) -> None:
    """Compare what was kept with what the file holds, which is read here without pandas."""
    columns = {**columns, **{name: each["kind"] for name, each in mutated.data.get("columns", {}).items()}}
    truth = Counter(read_rows(mutated.truth, columns))
    strange = [row for row in kept if row not in truth]
    if len(strange) > mutated.strange:
        raise MisreadError(f"{len(strange)} rows are kept that the file does not hold, such as {strange[0]}")
    if mutated.complete and Counter(kept) != truth:
        missing = truth - Counter(kept)
        raise MisreadError(f"{missing.total()} rows of the file are not kept, such as {next(iter(missing), None)}")
    if len(kept) + rejected < truth.total() - mutated.lost:
        raise MisreadError(f"{truth.total()} rows became {len(kept)} clean and {rejected} rejected ones")


def read_rows(table: Table, columns: dict[str, str]) -> list[Row]:
    """Read the columns, whose kinds are given: numbers as float, text stripped."""
    header, *lines = table
    return [tuple(_read(line[header.index(name)].strip(), kind) for name, kind in columns.items()) for line in lines]


def _read(text: str, kind: str) -> float | str:
    try:
        return float(text) if kind == "number" else text
    except ValueError:
        return text  # no clean row holds it


def is_refusal(error: Exception) -> bool:
    """Say whether Torchlane's own code raised it for the user."""
    while isinstance(error, DatasetError) and isinstance(error.__cause__, DatasetError):
        error = error.__cause__  # the catalog puts the dataset's name before its message
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return isinstance(error, (ValueError, DatasetError)) and Path(torchlane.__file__).parent in raised_in.parents


def print_outcomes(outcomes: dict[str, Counter[str]], refusals: dict[str, Counter[str]]) -> None:
    """Print a line a mutation."""
    columns = ("files", "results", "refused", "failures", "rejected")
    print(f"{'mutation':32}{''.join(f'{column:>10}' for column in columns)}  commonest refusal")
    for name, counts in outcomes.items():
        line = next((line for line, _ in refusals[name].most_common(1)), "")
        print(f"{name:32}{''.join(f'{counts[column]:10}' for column in columns)}  {line[:230]}")
    total = sum(outcomes.values(), Counter())
    print(f"{'all':32}{''.join(f'{total[column]:10}' for column in columns)}")


# ---- the file as a table ----


def read_table() -> Table:
    """Read the undisturbed file without pandas."""
    with SALARIES.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def written(table: Table, separator: str = ",", line_end: str = "\n", quoting: int = csv.QUOTE_ALL) -> bytes:
    """Write a table as CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=line_end, quoting=quoting).writerows(table)
    return text.getvalue().encode()


def some_lines(table: Table, random: Random, most: int = 20) -> list[int]:
    """Choose up to `most` lines under the header."""
    return random.sample(range(1, len(table)), random.randint(1, most))


def with_columns(table: Table, order: list[int]) -> Table:
    """Put the columns of each line in another order, or only some of them."""
    return [[line[place] for place in order] for line in table]


# ---- mutations of bytes ----


def flip_bytes(table: Table, random: Random) -> Mutated:
    """Put other bytes in the place of some."""
    content, flips = bytearray(SALARIES.read_bytes()), random.randint(1, 20)
    for place in random.sample(range(len(content)), flips):
        content[place] ^= random.randint(1, 255)
    return Mutated(bytes(content), table, strange=flips + 1, lost=2 * flips)


def flip_bits(table: Table, random: Random) -> Mutated:
    """Flip bits of some bytes; all stay ASCII, so that UTF-8 does not give them away."""
    content, flips = bytearray(SALARIES.read_bytes()), random.randint(1, 5)
    for place in random.sample(range(len(content)), flips):
        content[place] ^= 1 << random.randint(0, 6)
    return Mutated(bytes(content), table, strange=flips + 1, lost=2 * flips)


def truncate(table: Table, random: Random) -> Mutated:
    """Keep the bytes before a random one."""
    content = SALARIES.read_bytes()
    content = content[: random.randrange(len(content))]
    return Mutated(content, table[: max(1, content.count(b"\n"))], strange=1)


def double_block(table: Table, random: Random) -> Mutated:
    """Write a block of bytes twice."""
    content = SALARIES.read_bytes()
    start, end = sorted(random.sample(range(len(content)), 2))
    return Mutated(content[:end] + content[start:], table, strange=2, lost=2)


def add_nul_bytes(table: Table, random: Random) -> Mutated:
    """Put NUL bytes into cells; a number with one is none."""
    damaged = [list(line) for line in table]
    for line in some_lines(table, random):
        column = random.randrange(len(table[0]))
        place = random.randint(0, len(table[line][column]))
        damaged[line][column] = table[line][column][:place] + "\0" + table[line][column][place:]
    return Mutated(written(damaged), damaged)


def remove_a_quote(table: Table, random: Random) -> Mutated:
    """Remove up to three quotes."""
    content = SALARIES.read_bytes()
    removed = random.randint(1, 3)
    for _ in range(removed):
        place = content.index(b'"', random.randrange(len(content) - 10))
        content = content[:place] + content[place + 1 :]
    return Mutated(content, table, strange=removed + 1, lost=2 * removed)


def add_a_quote(table: Table, random: Random) -> Mutated:
    """Put a quote anywhere."""
    content = SALARIES.read_bytes()
    place = random.randrange(len(content))
    return Mutated(content[:place] + b'"' + content[place:], table, strange=2, lost=2)


def open_a_quote(table: Table, random: Random) -> Mutated:
    """A quote that opens in a file without others closes nowhere, or at the next one."""
    content = written(table, quoting=csv.QUOTE_MINIMAL)
    places = [place for place, byte in enumerate(content) if byte in b",\n"]
    for place in sorted(random.sample(places[11:-1], random.randint(1, 2)), reverse=True):
        content = content[: place + 1] + b'"' + content[place + 1 :]
    return Mutated(content, table, strange=2, lost=4)


# ---- mutations of columns and rows ----


def shuffle_columns(table: Table, random: Random) -> Mutated:
    """Shuffle the columns, header and values together."""
    order = random.sample(range(len(table[0])), len(table[0]))
    return Mutated(written(with_columns(table, order)), table, complete=True)


def drop_a_column(table: Table, random: Random) -> Mutated:
    """Leave a column out."""
    dropped = random.randrange(len(table[0]))
    order = [place for place in range(len(table[0])) if place != dropped]
    return Mutated(written(with_columns(table, order)), table, complete=True)


def double_a_column(table: Table, random: Random) -> Mutated:
    """Write a column twice, under the same name."""
    order = list(range(len(table[0])))
    order.insert(random.randint(0, len(order)), random.choice(order))
    return Mutated(written(with_columns(table, order)), table, complete=True)


def rename_a_column(table: Table, random: Random) -> Mutated:
    """Give a column another name, or that of another one."""
    header, place = list(table[0]), random.randrange(len(table[0]))
    name = header[place]
    header[place] = random.choice(
        ["", "other", "row", "Ünï", name.upper(), f" {name} ", name.replace("_", " "), random.choice(header)]
    )
    return Mutated(written([header, *table[1:]]), table, complete=True)


def shuffle_rows(table: Table, random: Random) -> Mutated:
    """Shuffle the rows."""
    return Mutated(written([table[0], *random.sample(table[1:], len(table) - 1)]), table, complete=True)


def add_empty_lines(table: Table, random: Random) -> Mutated:
    """Put empty lines anywhere, the first line included."""
    lines, line_end = written(table).splitlines(keepends=True), random.choice([b"\n", b"\r\n"])
    for _ in range(random.randint(1, 20)):
        lines.insert(random.randint(0, len(lines)), line_end)
    return Mutated(b"".join(lines), table, complete=True)


def too_few_fields(table: Table, random: Random) -> Mutated:
    """Drop fields of some rows."""
    damaged = [list(line) for line in table]
    for line in some_lines(table, random):
        for _ in range(random.randint(1, 3)):
            del damaged[line][random.randrange(len(damaged[line]))]
    return Mutated(written(damaged), table)


def too_many_fields(table: Table, random: Random) -> Mutated:
    """Add fields to some rows."""
    damaged = [list(line) for line in table]
    for line in some_lines(table, random):
        for _ in range(random.randint(1, 3)):
            damaged[line].insert(random.randint(0, len(damaged[line])), random.choice(["", "0", "x"]))
    return Mutated(written(damaged), table)


def one_field_more_in_each_row(table: Table, random: Random) -> Mutated:
    """As pandas writes an index without a name, and as a comma at the end of each row makes it."""
    place = random.choice([0, len(table[0])])
    widened = [[*line[:place], random.choice(["", "0", "7"]), *line[place:]] for line in table[1:]]
    return Mutated(written([table[0], *widened]), table, complete=True)


# ---- mutations of how the file is written ----


def encode_in_latin_1(table: Table, random: Random) -> Mutated:
    """Write titles with letters beyond ASCII in Latin-1."""
    damaged = [list(line) for line in table]
    for line in some_lines(table, random):
        damaged[line][table[0].index("job_title")] = random.choice(["Données", "Chef für Daten", "Año", "£ µ ÿ"])
    return Mutated(written(damaged).decode().encode("latin-1"), damaged, complete=True)


def encode_in_utf_16(table: Table, random: Random) -> Mutated:
    """Write the file in UTF-16 or UTF-32, with or without a byte order mark."""
    encoding = random.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    return Mutated(SALARIES.read_text().encode(encoding), table, complete=True)


def add_byte_order_mark(table: Table, random: Random) -> Mutated:
    """Write UTF-8 as Excel does."""
    return Mutated(written(table, quoting=random.choice(QUOTING)).decode().encode("utf-8-sig"), table, complete=True)


def separate_otherwise(table: Table, random: Random) -> Mutated:
    """Put semicolons, tabs or bars between the fields."""
    return Mutated(written(table, random.choice(";\t|"), quoting=random.choice(QUOTING)), table, complete=True)


def end_lines_otherwise(table: Table, random: Random) -> Mutated:
    """End lines as Windows or an old Mac does."""
    line_end = random.choice(["\r\n", "\r\n", "\r"])
    return Mutated(written(table, line_end=line_end, quoting=random.choice(QUOTING)), table, complete=True)


def remove_all_quotes(table: Table, random: Random) -> Mutated:
    """Remove all quotes; no value needs them."""
    return Mutated(SALARIES.read_bytes().replace(b'"', b""), table, complete=True)


def compress(table: Table, random: Random) -> Mutated:
    """Compress with gzip, under a name that does not say so."""
    return Mutated(gzip.compress(SALARIES.read_bytes()), table, complete=True)


def empty(table: Table, random: Random) -> Mutated:
    """Write nothing, or next to nothing."""
    return Mutated(random.choice([b"", b"\n", b"\r\n" * 9, b" ", b"\xef\xbb\xbf", b"\0", b",\n", b'"']), table)


def keep_the_header_only(table: Table, random: Random) -> Mutated:
    """Leave the rows out."""
    return Mutated(written(table[:1], line_end=random.choice(["", "\n", "\r\n"])), table[:1])


# ---- mutations of values ----


def thousands_separators(table: Table, random: Random) -> Mutated:
    """Write the target of some rows as people do, but not as 35.008, which is a number of its own."""
    damaged, separator, place = [list(line) for line in table], random.choice(", '_\u00a0"), table[0].index(TARGET)
    for line in some_lines(table, random, most=len(table) - 1):
        damaged[line][place] = f"{int(table[line][place]):,}".replace(",", separator)
    return Mutated(written(damaged), table)


def huge_numbers(table: Table, random: Random) -> Mutated:
    """Put numbers that no computer likes into some cells."""
    damaged = [list(line) for line in table]
    for line in some_lines(table, random):
        name = random.choice([name for name, kind in DECLARED.items() if kind == "number"])
        huge = ["1e30", "1e39", "1e308", "1e400", "-1e300", "9" * 30, "9" * 400, "inf", "18446744073709551616"]
        damaged[line][table[0].index(name)] = random.choice(huge)
    return Mutated(written(damaged), damaged)


def spread_damage(values: list[str], damages: list[str], random: Random) -> list[str]:
    """Put damages into up to 20 places."""
    places = random.sample(range(len(values)), random.randint(0, 20))
    return [random.choice(damages) if place in places else value for place, value in enumerate(values)]


def with_column(table: Table, name: str, values: list[str]) -> Table:
    """Give a column other values, or add it at the end."""
    if name not in table[0]:
        return [[*line, value] for line, value in zip(table, [name, *values], strict=True)]
    place = table[0].index(name)
    return [
        table[0],
        *([*line[:place], value, *line[place + 1 :]] for line, value in zip(table[1:], values, strict=True)),
    ]


def written_as(
    table: Table, random: Random, form: Callable[[str], str], damages: list[str], data: dict[str, Any]
) -> Mutated:
    """Write the target in another form; damaged ones are no amounts and may not be kept."""
    place = table[0].index(TARGET)
    values = spread_damage([line[place] for line in table[1:]], damages, random)
    file = with_column(table, TARGET, [value if value in damages else form(value) for value in values])
    column = {**PARAMETERS["data"]["columns"][TARGET], **data}
    truth = with_column(table, TARGET, values)
    return Mutated(written(file, random.choice(",;\t")), truth, data={"columns": {TARGET: column}})


def money(table: Table, random: Random) -> Mutated:
    """Write the target as amounts of money, some of them damaged."""
    forms = ["${:,}", "{:,} USD", "$ {:,}.00", "{}$", "+${:,}.0"]
    damages = ["$1,23", "$", "1.2.3 $", "$12,3456", "--$5", "($5", "$1 2 3", "5 $ 6", "$1e", "$-", "5%"]
    return written_as(table, random, lambda text: random.choice(forms).format(int(text)), damages, {"format": "money"})


def decimal_commas(table: Table, random: Random) -> Mutated:
    """Write the target with a decimal comma and points between thousands, some damaged."""
    damages = ["1,2,3", ",", "1.23,4.5", "12.34", "1.2345", "1,5x", "5%", "1,234.5", "1..000"]

    def form(text: str) -> str:
        return f"{int(text):,}".replace(",", random.choice(["", "."])) + random.choice(["", ",0", ",00"])

    return written_as(table, random, form, damages, {"decimal": "comma"})


def dates(table: Table, random: Random) -> Mutated:
    """Add a column of dates in one form, some of which are no days."""
    form, damages = random.choice(list(BAD_DATES.items()))
    days = [date(2000, 1, 1) + timedelta(random.randrange(9000)) for _ in table[1:]]
    values = spread_damage([f"{day:{form}}" for day in days], damages, random)
    truth = [value if value in damages else f"{day:{DATE}}" for value, day in zip(values, days, strict=True)]
    column = {"kind": "date"} if form == DATE else {"kind": "date", "format": form}
    file = written(with_column(table, "day", values), random.choice(",;\t"))
    return Mutated(file, with_column(table, "day", truth), data={"columns": {"day": column}})


def weights(table: Table, random: Random) -> Mutated:
    """Add a column of weights, some of which are none."""
    sound = [random.choice(["0", "1", "2.5", "1e3", "+4"]) for _ in table[1:]]
    values = spread_damage(sound, ["", "-1", "NaN", "inf", "-inf", "1e400", "x", "-0.5", "1,5"], random)
    truth = with_column(table, "times", [value if value in sound else "no weight" for value in values])
    data = {"weight": "times", "columns": {"times": {"kind": "number"}}}
    return Mutated(written(with_column(table, "times", values)), truth, data=data)


DATE = "%Y-%m-%d"
BAD_DATES = {  # by form: what is no day in it
    DATE: ["2024-13-01", "2023-02-29", "2024-02-30", "0000-01-01", "24-1-1", "2024", "01.02.2024", "x"],
    "%d.%m.%Y": ["31.04.2024", "29.02.2023", "1.13.2024", "00.01.2024", "2024-01-01", "1/2/2024", "x"],
    "%m/%d/%Y": ["13/1/2024", "2/29/2023", "0/1/2024", "1.2.2024", "2024-01-01", "x"],
}
QUOTING = (csv.QUOTE_ALL, csv.QUOTE_MINIMAL)
MUTATIONS: dict[str, Callable[[Table, Random], Mutated]] = {
    function.__name__.replace("_", " "): function
    for function in (
        flip_bytes,
        flip_bits,
        truncate,
        double_block,
        add_nul_bytes,
        remove_a_quote,
        add_a_quote,
        open_a_quote,
        shuffle_columns,
        drop_a_column,
        double_a_column,
        rename_a_column,
        shuffle_rows,
        add_empty_lines,
        too_few_fields,
        too_many_fields,
        one_field_more_in_each_row,
        encode_in_latin_1,
        encode_in_utf_16,
        add_byte_order_mark,
        separate_otherwise,
        end_lines_otherwise,
        remove_all_quotes,
        compress,
        empty,
        keep_the_header_only,
        thousands_separators,
        huge_numbers,
    )
}
TYPED: dict[str, Callable[[Table, Random], Mutated]] = {  # they bring options of their own
    function.__name__.replace("_", " "): function for function in (money, decimal_commas, dates, weights)
}


if __name__ == "__main__":
    main()
