"""A new use case from a file: its draft, and a copy of the file where its pipeline reads it."""

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from torchlane.core.machine.files import replacing
from torchlane.core.rows.drafting import Draft, draft_parameters
from torchlane.core.rows.drafting.writing import WORDS
from torchlane.core.rows.raw_rows import columns_of
from torchlane.datasets.paths import shown
from torchlane.datasets.rows import RawRowsDataset
from torchlane.parameter_files import SUFFIXES

TEXT = (".csv", ".tsv", ".tab", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
OTHERS = {  # other endings, and how to write such a file as CSV
    ".parquet": "python -c \"import pandas; pandas.read_parquet('{file}').to_csv('{csv}', index=False)\"",
    ".jsonl": (
        "python -c \"import pandas; pandas.read_json('{file}', lines=True, dtype=False).to_csv('{csv}', index=False)\""
    ),
    ".json": "a script, since JSON may be nested",
    ".xlsx": "your spreadsheet program (Save as, CSV UTF-8)",
    ".zip": "unpacking it",
}
SETTINGS = ("output_root", "raw_root")  # what all use cases share in a parameter file
READ_BY_KEDRO = ("catalog", "credentials")  # in any folder, files whose names begin with these are other settings


def draft_use_case(project: Path, file: Path, target: str | None, name: str | None) -> Iterator[str]:
    """Write the draft and the copy of `file`, and give the lines that say what was seen.

    Raises:
        ValueError: the file, the target or the name cannot be used; nothing was written then.
    """
    ending = _ending(file)
    use_case = re.sub(r"\W+", "_", file.name[: -len(ending)].lower()).strip("_") if name is None else name
    _check_name(project, use_case)
    raw, parameters = project / f"data/01_raw/{use_case}.csv", project / f"conf/base/parameters/{use_case}.yml"
    if raw.exists() and not (file.exists() and raw.samefile(file)):
        raise ValueError(f"{shown(raw)} already exists and is another file; remove it, or set another --name")
    rows = RawRowsDataset(filepath=str(file.resolve())).load()
    if target is None:
        columns = ", ".join(columns_of(rows))
        raise ValueError(f"--target is missing: which column of {shown(file)} is to be predicted? There are {columns}")
    draft = draft_parameters(rows, use_case, target)
    if not raw.exists():
        with replacing(raw) as partial:
            _copy(file, partial)
    with replacing(parameters) as partial:
        partial.write_text(draft.parameters, encoding="utf-8")
    yield from _lines(draft, use_case, file, parameters)


def _lines(draft: Draft, use_case: str, file: Path, parameters: Path) -> Iterator[str]:
    yield from (" ".join(remark.split()) for remark in draft.remarks)
    yield f"{shown(file)}: {draft.summary}"
    yield f"wrote {shown(parameters)}: check it, then kedro run --pipeline={use_case}"


def _ending(file: Path) -> str:
    name = file.name.lower()
    if file.is_dir():
        raise ValueError(f"{file} is a folder; images need no draft, see 'Images' in docs/data.md")
    for ending in sorted(TEXT, key=len, reverse=True):
        if name.endswith(ending) and len(name) > len(ending):
            return ending
    for ending, way_out in OTHERS.items():
        if name.endswith(ending):
            csv = f"{file}"[: -len(ending)] + ".csv"
            raise ValueError(
                f"{file} is not read by a training; make {csv} of it by {way_out.format(file=file, csv=csv)}"
            )
    raise ValueError(f"{file} does not end in {', '.join(TEXT)}; unpack it, or save it as CSV")


def _check_name(project: Path, use_case: str) -> None:
    """Check that a name can be that of a use case, and is that of no other thing.

    Raises:
        ValueError: it cannot.
    """
    if not re.fullmatch(r"[a-z]\w*", use_case, flags=re.ASCII) or use_case != use_case.lower():
        raise ValueError(
            f"'{use_case}' cannot be the name of a use case: a name has lower-case letters, digits and _, and begins "
            f"with a letter; set --name"
        )
    for why, is_taken in (
        ("it is a setting that all use cases share", use_case in SETTINGS),
        ("YAML reads it as something else", use_case in WORDS),
        ("Kedro takes a file that is named so for a catalog or credentials", use_case.startswith(READ_BY_KEDRO)),
    ):
        if is_taken:
            raise ValueError(f"'{use_case}' cannot be the name of a use case: {why}; set another --name")
    for path in sorted((project / "conf").glob(f"*/parameters/{use_case}.*")):
        if path.suffix in SUFFIXES:
            raise ValueError(f"{shown(path)} already exists; remove it, or set another --name")
    other = use_case.removesuffix("_new")
    if other != use_case and any((project / "conf").glob(f"*/parameters/{other}.*")):
        raise ValueError(
            f"'{use_case}' cannot be the name of a use case: data/01_raw/{use_case}.csv holds the rows that {other} is "
            f"fine-tuned on; set another --name"
        )


def _copy(file: Path, partial: Path) -> None:
    if file.suffix.lower() != ".gz":
        shutil.copyfile(file, partial)
        return
    with gzip.open(file, "rb") as packed, partial.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
