"""Scoring measured and disturbed.

    python benchmarks/scoring.py speed [--rows 10000000 | --input FILE] [--members 1] [--pairs 3]
    python benchmarks/scoring.py startup [--pairs 5]
    python benchmarks/scoring.py kills [--kills 200] [--most-rows 20000] [--seed 0] [--url postgresql+psycopg://…]
    python benchmarks/scoring.py mutations [--files 1000] [--seed 0]

`speed` takes turns: pyarrow that reads a file of salaries and writes it again, and a whole
`kedro run --pipeline=salaries.predict` over it; and prints the largest resident memory of each.
`startup` compares a run over an empty inbox with a Kedro project of one empty node and the import
of torch. `kills` lets two jobs at once work on an inbox of 50 files and kills them with SIGKILL at
random instants, round after round; some of them have a clock that was set back or forward, or find
no space left. In the end every row is scored once, no half file is left, and ledger and folder
agree. `mutations` scores damaged files, CSV, gzip, Parquet and JSON lines: a right result or a
reason, and no row misread.
"""

import argparse
import contextlib
import gzip
import io
import json
import logging
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mutations import DECLARED, MUTATIONS, PARAMETERS, TARGET, MisreadError, Mutated, judge, read_table, written
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, PredictionOptions, TrainingOptions
from torchlane.core.rows.checking import apply_rules, check_rows
from torchlane.core.rows.samples import draw_rows, write_sample
from torchlane.core.scoring.failures import ScoringError
from torchlane.core.scoring.inbox import score_inbox
from torchlane.datasets.inbox import InboxDataset
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.predictions import PredictionFolder

DATA = DataOptions.model_validate(PARAMETERS["data"])
FEATURES = {name: kind for name, kind in DECLARED.items() if name != TARGET}
FILES = 50  # in an inbox whose jobs are killed
KEDRO = str(Path(sys.executable).with_name("kedro"))


def main() -> None:
    """Measure or disturb; exit status 1 where something does not hold."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("speed", "startup", "kills", "mutations"))
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--input", type=Path, help="CSV file of salaries, instead of one that is generated")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--most-rows", type=int, default=20_000, help="in each of the files whose jobs are killed")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "speed":
            measure_speed(Path(folder), arguments.rows, arguments.input, arguments.members, arguments.pairs)
        elif arguments.what == "startup":
            measure_startup(Path(folder), arguments.pairs)
        elif arguments.what == "kills":
            kill_jobs(Path(folder), arguments.kills, arguments.most_rows, random.Random(arguments.seed), arguments.url)
        else:
            score_mutations(Path(folder), arguments.files, arguments.seed)


# ---- speed ----

COPY = """
import sys, time
from pyarrow import csv
started = time.perf_counter()
reader = csv.open_csv(sys.argv[1], read_options=csv.ReadOptions(block_size=8 << 20))
with csv.CSVWriter(sys.argv[2], reader.schema) as writer:
    for batch in reader:
        writer.write_batch(batch)
print(time.perf_counter() - started)
"""


def measure_speed(folder: Path, rows: int, given: Path | None, members: int, pairs: int) -> None:
    """Print each pair, and the medians."""
    inbox = folder / "raw/salaries_inbox"
    if given is None:
        write_sample("salaries", rows, 0, inbox / "salaries.csv")
    else:
        inbox.mkdir(parents=True)
        (inbox / "salaries.csv").hardlink_to(given)
        with given.open("rb") as file:
            rows = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 24), b"")) - 1
    train = ["run", "--pipeline=salaries", f"--params=output_root={folder},salaries.training.members={members}"]
    subprocess.run([KEDRO, *train], check=True, capture_output=True)
    ratios, busy_ratios = [], []
    for number in range(1, pairs + 1):
        copied, copy_busy, copy_memory = run_and_measure(
            [sys.executable, "-c", COPY, inbox / "salaries.csv", folder / "copy.csv"]
        )
        outputs = folder / f"outputs {number}"
        settings = f"output_root={outputs},raw_root={folder / 'raw'},salaries.prediction.settle_seconds=0"
        outputs.mkdir()
        (outputs / "06_models").symlink_to(folder / "06_models")
        started = time.perf_counter()
        _, busy, memory = run_and_measure([KEDRO, "run", "--pipeline=salaries.predict", f"--params={settings}"])
        wall = time.perf_counter() - started
        (entry,) = SQLLedger(f"sqlite:///{outputs}/07_model_output/salaries/ledger.sqlite", "salaries").entries()
        assert entry["rows_scored"] == rows
        (outputs / "07_model_output/salaries/predictions" / entry["output"]).unlink()
        ratios.append(wall / float(copied))
        busy_ratios.append(busy / copy_busy)
        print(
            f"pair {number}: pyarrow {float(copied):.1f} s ({copy_memory} MiB), the whole run {wall:.1f} s, of which "
            f"scoring {entry['seconds']:.1f} s ({memory} MiB): {ratios[-1]:.2f} times; of the processor's time, "
            f"{copy_busy:.1f} and {busy:.1f} s: {busy_ratios[-1]:.2f} times",
            flush=True,
        )
    print(
        f"{rows} rows, {members} members: {statistics.median(ratios):.2f} times pyarrow, "
        f"{statistics.median(busy_ratios):.2f} times of the processor's time, medians of {pairs} pairs"
    )


def run_and_measure(command: list[Any]) -> tuple[str, float, int]:
    """Run a command that must succeed: what it prints, its processor seconds, its largest resident memory in MiB."""
    program = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True)\n"
    program += "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    program += "print(used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)], check=True, capture_output=True, text=True
    )
    *printed, used = done.stdout.splitlines()
    seconds, memory = used.split()
    return "".join(printed), float(seconds), int(memory)


# ---- start-up ----


def measure_startup(folder: Path, pairs: int) -> None:
    """Print each pair, and the median of what a run over an empty inbox takes more."""
    subprocess.run(
        [KEDRO, "run", "--pipeline=salaries", "--env=test", f"--params=output_root={folder}/torchlane"],
        check=True,
        capture_output=True,
    )
    scoring_run = [KEDRO, "run", "--pipeline=salaries.predict", "--env=test"]
    scoring_run += [f"--params=output_root={folder}/torchlane,raw_root={folder}"]
    empty = write_empty_project(folder / "empty")
    rests = []
    for number in range(pairs + 1):
        python = measure([sys.executable, "-c", "pass"])
        imports = measure([sys.executable, "-c", "import torch"]) - python
        kedro = measure([KEDRO, "run"], folder=empty)
        run = measure(scoring_run)
        if number:  # the first pair warms caches
            rests.append(run - imports - kedro)
            wall, busy = zip(run, kedro, imports, rests[-1], strict=True)
            for name, times in (("wall", wall), ("processor", busy)):
                print(f"{name}: run {times[0]:.2f} s, empty Kedro run {times[1]:.2f} s, ", end="")
                print(f"import torch {times[2]:.2f} s, rest {times[3]:.2f} s", flush=True)
    wall_rest, busy_rest = np.median(rests, axis=0)
    print(f"rest: median {wall_rest:.2f} s of wall time, {busy_rest:.2f} s of the processor's, of {pairs} pairs")


def write_empty_project(folder: Path) -> Path:
    """Write a Kedro project with one node that does nothing."""
    package = folder / "src/empty"
    package.mkdir(parents=True)
    for name in ("conf/base", "conf/local"):
        (folder / name).mkdir(parents=True)
    (folder / "conf/base/catalog.yml").write_text("{}")
    (folder / "conf/base/parameters.yml").write_text("{}")
    settings = {"package_name": "empty", "project_name": "Empty", "kedro_init_version": "1.7.0", "source_dir": "src"}
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    (folder / "pyproject.toml").write_text("\n".join(["[tool.kedro]", *lines]))
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("")
    (package / "pipeline_registry.py").write_text(
        "from kedro.pipeline import Node, Pipeline\n\n\ndef nothing():\n    return 0\n\n\n"
        "def register_pipelines():\n    return {'__default__': Pipeline([Node(nothing, None, 'nothing')])}\n"
    )
    return folder


def measure(command: list[str], folder: Path | None = None) -> np.ndarray:
    """Time a command that must succeed: wall and processor seconds; the latter are fair on a busy machine."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime])


# ---- kills ----

LASTING = PredictionOptions(keys=("id",), settle_seconds=0, lease_seconds=0.5, max_attempts=100_000)


def kill_jobs(folder: Path, most_kills: int, most_rows: int, draw: random.Random, url: str) -> None:
    """Disturb round after round of work until there were enough kills."""
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)  # before the first fork, no thread of a pool may exist
    model = train_quickly(DATA)
    counts: Counter[str] = Counter()
    while counts["kills"] < most_kills:
        work = Round(folder / str(counts["rounds"]), most_rows, model, draw, url)
        started = time.perf_counter()
        while counts["kills"] < most_kills and not work.is_done():
            disturb(work, draw, counts, most_kills)
        work.finish()
        counts["rounds"] += 1
        counts["rows"] += work.check()
        print(f"round {counts['rounds']}: {time.perf_counter() - started:.0f} s, {dict(counts)}", flush=True)
    print(f"{counts['kills']} kills in {counts['rounds']} rounds of {FILES} files, {counts['rows']} rows: all once")


def disturb(work: "Round", draw: random.Random, counts: Counter[str], most_kills: int) -> None:
    """Let two jobs work at once and kill each at a random instant, if it has not ended by then."""
    jobs = {}
    for _ in range(2):
        kind = draw.choice(["plain", "plain", "clock set back", "clock set forward", "no space left"])
        counts[kind] += 1
        jobs[work.start(kind, draw.randint(1, 60))] = time.monotonic() + draw.uniform(0, 3)
    while jobs:
        for job, instant in list(jobs.items()):
            ended, status = os.waitpid(job, os.WNOHANG)
            if ended:
                del jobs[job]
                code = os.waitstatus_to_exitcode(status)
                if code not in (0, -signal.SIGKILL):
                    sys.exit(f"a job ended with status {code}")
                counts["kills"] += code == -signal.SIGKILL
            elif time.monotonic() > instant:
                os.kill(job, signal.SIGKILL)
        time.sleep(0.005)


class Round:
    """An inbox of files whose rows have an `id` each; some files are copies of others."""

    def __init__(self, folder: Path, most_rows: int, model: TrainedModel, draw: random.Random, url: str):
        self._folder, self._model = folder, model
        self._use_case = f"round {folder.name} {os.getpid()}"
        self._url = url or f"sqlite:///{folder}/ledger.sqlite"
        self._ids: list[int] = []
        (folder / "inbox").mkdir(parents=True)
        for number in range(FILES):
            rows = draw_rows("salaries", draw.randint(1, most_rows), seed=number).drop(columns=TARGET)
            first = len(self._ids)
            rows.insert(0, "id", range(first, first + len(rows)))
            self._ids += rows["id"].to_list()
            rows.to_csv(folder / f"inbox/{number}.csv", index=False)
            if number % 10 == 0:
                rows.to_csv(folder / f"inbox/copy of {number}.csv", index=False)

    def start(self, kind: str, kilobytes: int) -> int:
        """Start a job in a process of its own."""
        job = os.fork()
        if job:
            return job
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        if kind == "no space left":
            resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))
        shift = {"clock set back": -3600, "clock set forward": 3600}.get(kind, 0)
        with contextlib.suppress(ScoringError if kind == "no space left" else ZeroDivisionError):
            self.score(shift)
        os._exit(0)

    def score(self, shift: float = 0) -> None:
        """Score what is there, by a clock that is `shift` seconds wrong."""
        ledger = SQLLedger(self._url, self._use_case)
        plain = ledger._database.now
        ledger._database.now = lambda connection: plain(connection) + timedelta(seconds=shift)  # type: ignore[method-assign]
        inbox = InboxDataset(path=str(self._folder / "inbox")).load()
        score_inbox(inbox, ledger, self._store, self._model, LASTING)

    def is_done(self) -> bool:
        """Say whether every file is done."""
        states = Counter(entry["state"] for entry in self._entries())
        return states["done"] == FILES

    def finish(self) -> None:
        """Let undisturbed jobs do the rest, each as soon as leases have ended."""
        for _ in range(20):
            self.score()
            if self.is_done():
                return
            time.sleep(LASTING.lease_seconds)
        sys.exit(f"undisturbed jobs leave files behind: {Counter(entry['state'] for entry in self._entries())}")

    def check(self) -> int:
        """Compare inbox, ledger and folder: every row once, no half file; give the number of rows."""
        done = {entry["output"]: entry for entry in self._entries() if entry["state"] == "done"}
        folder = self._folder / "predictions"
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        if found != set(done):
            sys.exit(f"folder and ledger differ: {sorted(found ^ set(done))}")
        ids: list[int] = []
        for output, entry in done.items():
            predictions = pd.read_csv(folder / output)
            if len(predictions) != entry["rows_scored"] or predictions["prediction"].isna().any():
                sys.exit(f"{output} has {len(predictions)} rows, the ledger says {entry['rows_scored']}")
            ids += predictions["id"].to_list()
        if sorted(ids) != self._ids:
            sys.exit(f"{len(ids)} rows are scored, {len(set(ids))} different ones, of {len(self._ids)}")
        copies = [entry for entry in self._entries() if entry["state"] == "copy"]
        if len(copies) != FILES // 10:
            sys.exit(f"{len(copies)} of {FILES // 10} copies are recorded as such")
        return len(ids)

    @property
    def _store(self) -> PredictionFolder:
        return PredictionFolder(self._folder / "predictions")

    def _entries(self) -> list[dict[str, Any]]:
        return SQLLedger(self._url, self._use_case).entries()


def train_quickly(data: DataOptions) -> TrainedModel:
    """Train one member for two epochs, on the bundled sample."""
    clean, _ = check_rows(draw_rows("salaries").astype("str"), data)
    encoder = fit_encoder(clean, data, EncodingOptions())
    tensors = build_tensors(clean, encoder)
    lesson = Lesson(tensors, tensors, encoder, TrainingOptions(epochs=2, members=1))
    model, _ = train_model(lesson, data, ModelOptions(), NoCheckpoints())
    return model


# ---- mutations ----


def score_mutations(folder: Path, n_files: int, seed: int) -> None:
    """Mutate, score, judge; print a table."""
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    model = train_quickly(DATA)
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in ALL_MUTATIONS}
    reasons: dict[str, str] = {}
    for number in range(n_files):
        name = list(ALL_MUTATIONS)[number % len(ALL_MUTATIONS)]
        ending, mutate = ALL_MUTATIONS[name]
        draw = random.Random(f"{seed} {number}")
        mutated = mutate(read_table(), draw)
        place = folder / str(number)
        (place / "inbox").mkdir(parents=True)
        (place / f"inbox/x{ending}").write_bytes(mutated.content)
        outcomes[name]["files"] += 1
        try:
            entry = score_one(place, model)
            if entry["state"] == "failed":
                reasons[name] = entry["error"]
                outcomes[name]["refused"] += 1
            else:
                judge_predictions(mutated, entry, place, model)
                outcomes[name]["results"] += 1
                outcomes[name]["rejected"] += entry["rows_rejected"]
        except Exception as error:
            outcomes[name]["failures"] += 1
            print(f"file {number} ({name}) with seed {seed}: {type(error).__name__}: {error}", file=sys.stderr)
    columns = ("files", "results", "refused", "failures", "rejected")
    print(f"{'mutation':32}{''.join(f'{column:>10}' for column in columns)}  last reason")
    for name, counts in outcomes.items():
        print(f"{name:32}{''.join(f'{counts[column]:10}' for column in columns)}  {reasons.get(name, '')[:160]}")
    total = sum(outcomes.values(), Counter())
    print(f"{'all':32}{''.join(f'{total[column]:10}' for column in columns)}")
    if total["failures"]:
        sys.exit(f"{total['failures']} of {n_files} files ended neither with a right result nor with a reason")


def score_one(place: Path, model: TrainedModel) -> dict[str, Any]:
    """Score the one file of an inbox; it must come out done or failed."""
    options = PredictionOptions(keys=tuple(FEATURES), settle_seconds=0)
    ledger = SQLLedger(f"sqlite:///{place}/ledger.sqlite", "salaries")
    store = PredictionFolder(place / "predictions")
    score_inbox(InboxDataset(path=str(place / "inbox")).load(), ledger, store, model, options)
    (entry,) = ledger.entries()
    left = [path.name for path in place.rglob(".partial*")]
    if left or entry["state"] not in ("done", "failed") or (entry["state"] == "failed") != bool(entry["error"]):
        raise MisreadError(f"the ledger says {entry['state']} ({entry['error']}), left are {left}")
    return entry


def judge_predictions(mutated: Mutated, entry: dict[str, Any], place: Path, model: TrainedModel) -> None:
    """Compare rows and predictions with what the file holds, read without pyarrow, and with `predict`."""
    predictions = pd.read_csv(place / "predictions" / entry["output"], dtype="str", keep_default_na=False)
    if len(predictions) != entry["rows_scored"]:
        raise MisreadError(f"{len(predictions)} rows of {entry['rows_scored']} are in the predictions")
    if predictions.empty and entry["rows_rejected"]:
        return  # nothing is kept, and every row is listed with its reason
    expected = model.predict(predictions[list(FEATURES)])["prediction"]
    if not np.array_equal(predictions["prediction"].astype(float), expected):
        raise MisreadError("the predictions are not those of the rows beside them")
    clean, _ = apply_rules(predictions[list(FEATURES)], DATA.feature_columns, DATA.missing_values)
    rows = clean[list(FEATURES)].astype(object).where(clean[list(FEATURES)].notna(), "")
    judge(mutated, list(rows.itertuples(index=False, name=None)), entry["rows_rejected"], FEATURES)


def in_gzip(mutate: Callable[..., Mutated]) -> Callable[..., Mutated]:
    """Compress what a mutation gives."""
    return lambda table, draw: (found := mutate(table, draw))._replace(content=gzip.compress(found.content))


def damage_gzip(table: list[list[str]], draw: random.Random) -> Mutated:
    """Flip bytes of a compressed file, or cut it off."""
    return Mutated(damaged(gzip.compress(written(table)), draw), table)


def damage_parquet(table: list[list[str]], draw: random.Random) -> Mutated:
    """Flip bytes of a Parquet file whose pages have checksums, or cut it off."""
    from pyarrow import parquet
    from pyarrow import table as arrow_table

    sink = io.BytesIO()
    columns = dict(zip(table[0], zip(*table[1:], strict=True), strict=True))
    parquet.write_table(arrow_table(columns), sink, write_page_checksum=True)
    return Mutated(damaged(sink.getvalue(), draw), table)


def damage_json_lines(table: list[list[str]], draw: random.Random) -> Mutated:
    """Flip bytes of JSON lines, or cut them off."""
    lines = [json.dumps(dict(zip(table[0], line, strict=True))) for line in table[1:]]
    content = bytearray("\n".join(lines).encode())
    flips = draw.randint(1, 5)
    for place in draw.sample(range(len(content)), flips):
        content[place] ^= 1 << draw.randint(0, 6)
    return Mutated(
        bytes(content[: draw.choice([None, draw.randrange(len(content))])]), table, strange=flips, lost=len(table)
    )


def bomb(table: list[list[str]], draw: random.Random) -> Mutated:
    """Compress gigabytes into little."""
    blocks = [gzip.compress(byte * (1 << 24)) for byte in (b"\n", b"0", b",", b'"')]
    return Mutated(gzip.compress(written(table[:1])) + b"".join(draw.choices(blocks, k=75)), table)


def add_a_column(table: list[list[str]], draw: random.Random) -> Mutated:
    """Add a column that nobody knows."""
    place = draw.randint(0, len(table[0]))
    widened = [
        [*line[:place], "extra" if number == 0 else str(number), *line[place:]] for number, line in enumerate(table)
    ]
    return Mutated(written(widened), table, complete=True)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Flip up to 20 bytes, or cut off the end."""
    if draw.random() < 0.3:
        return content[: draw.randrange(len(content))]
    flipped = bytearray(content)
    for place in draw.sample(range(len(content)), draw.randint(1, 20)):
        flipped[place] ^= draw.randint(1, 255)
    return bytes(flipped)


ALL_MUTATIONS: dict[str, tuple[str, Callable[..., Mutated]]] = {
    **{name: (".csv", mutate) for name, mutate in MUTATIONS.items()},
    "flip bytes, then gzip": (".csv.gz", in_gzip(MUTATIONS["flip bytes"])),
    "add a quote, then gzip": (".csv.gz", in_gzip(MUTATIONS["add a quote"])),
    "damage gzip": (".csv.gz", damage_gzip),
    "damage parquet": (".parquet", damage_parquet),
    "damage JSON lines": (".jsonl", damage_json_lines),
    "bomb": (".csv.gz", bomb),
    "add a column": (".csv", add_a_column),
}


if __name__ == "__main__":
    main()
