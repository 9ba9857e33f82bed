"""Trainings and whole runs killed at random instants, started again, and compared bit by bit.

    python benchmarks/kills.py training [--kills 100] [--seed 0]
    python benchmarks/kills.py runs [--kills 100] [--seed 0]

A child process works; it is killed with SIGKILL after a random share of the time that the whole
work takes, and another child goes on in its place. What ends must have the bits of what was never
disturbed. `training` trains four members with a checkpoint after each epoch, each time from
nothing. `runs` is `kedro run --pipeline=salaries --env=test` over the outputs of another run (of
another split seed), gone on with `--only-missing-outputs`: model, metrics and predictions must be
those of an undisturbed run, and no half file may be left.
"""

import argparse
import hashlib
import logging
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from kedro.framework.startup import bootstrap_project

from torchlane.cli import cli
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import load
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, SplitOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.samples import draw_rows
from torchlane.core.rows.splits import rows_of, split_rows
from torchlane.datasets.checkpoints import FolderStore

DATA = DataOptions.model_validate(
    {
        "task": "regression",
        "target": "salary_in_usd",
        "columns": {
            "work_year": {"kind": "number"},
            "remote_ratio": {"kind": "number"},
            **{name: {"kind": "category"} for name in ("experience_level", "job_title", "company_location")},
        },
    }
)
MODEL = ModelOptions(widths=(64, 32), dropout=0.3, batch_norm=True)
TRAINING = TrainingOptions.model_validate(
    {"members": 4, "epochs": 25, "patience_epochs": 12, "checkpoint_epochs": 1, "scheduler": {"name": "OneCycleLR"}}
)


def main() -> None:
    """Kill, go on, compare; exit status 1 where a bit differs or a file is not whole."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=WORKS)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)  # before the first fork, no thread of a pool may exist
    with tempfile.TemporaryDirectory() as folder:
        kill_and_go_on(WORKS[arguments.what](Path(folder)), arguments.kills, random.Random(arguments.seed))


def kill_and_go_on(work: "Training | Runs", most_kills: int, draw: random.Random) -> None:
    """Disturb piece after piece of work until there were enough kills and the last piece has ended."""
    started = time.perf_counter()
    run_child(work, 0, undisturbed=True)
    whole = time.perf_counter() - started
    kills = kills_of_piece = ended = ended_after_kills = 0
    while kills < most_kills or kills_of_piece:
        wait = None if kills == most_kills else draw.uniform(0, 1.2 * whole)
        if not run_child(work, ended, kill_after=wait, again=kills_of_piece > 0):
            kills, kills_of_piece = kills + 1, kills_of_piece + 1
            continue
        if ended:
            run_child(work, ended, undisturbed=True)
        if work.digests(ended, undisturbed=False) != work.digests(ended, undisturbed=True):
            sys.exit(f"after {kills} kills, what was cut off ended with other bits")
        ended, ended_after_kills, kills_of_piece = ended + 1, ended_after_kills + (kills_of_piece > 0), 0
    print(f"{kills} kills of what takes {whole:.1f} s; {ended} ended, {ended_after_kills} of them after kills")
    print("all have the bits of the undisturbed ones")


def run_child(
    work: "Training | Runs",
    piece: int,
    *,
    undisturbed: bool = False,
    kill_after: float | None = None,
    again: bool = False,
) -> bool:
    """Do a piece of work in a child process; say whether it ended before it was killed."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work.do(piece, undisturbed=undisturbed, again=again)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        sys.exit(f"a child ended with status {status}")
    return status == 0


class Training:
    """Four members on the bundled salaries; piece after piece is the same, in a folder of its own."""

    def __init__(self, folder: Path):
        self._folder = folder
        clean, _ = check_rows(draw_rows("salaries"), DATA)
        splits = split_rows(clean, DATA, SplitOptions())
        self._encoder = fit_encoder(rows_of("train", clean, splits), DATA, EncodingOptions())
        self._tensors = [build_tensors(rows_of(part, clean, splits), self._encoder) for part in ("train", "valid")]

    def do(self, piece: int, *, undisturbed: bool, again: bool) -> None:
        """Train, from the last checkpoint on."""
        place = self._place(piece, undisturbed)
        store = FolderStore(place / "checkpoints")
        model, _ = train_model(Lesson(*self._tensors, self._encoder, TRAINING), DATA, MODEL, store)
        model.save(place / "model.safetensors")

    def digests(self, piece: int, *, undisturbed: bool) -> list[str]:
        """The SHA-256 of the model file, which must be whole."""
        path = self._place(piece, undisturbed) / "model.safetensors"
        load(path)
        return [digest(path)]

    def _place(self, piece: int, undisturbed: bool) -> Path:
        return self._folder / ("undisturbed" if undisturbed else f"piece {piece}")


class Runs:
    """The whole pipeline, each piece with another split of the rows, over the outputs of the one before."""

    READ = (
        "02_intermediate/salaries/clean_rows.parquet",
        "06_models/salaries/model.safetensors",
        "07_model_output/salaries/test_predictions.csv",
        "08_reporting/salaries/metrics.json",
        "08_reporting/salaries/predictions.json",
    )

    def __init__(self, folder: Path):
        # Imported before the forks, so that the children's time is the work's.
        import torchlane.pipelines.supervised  # noqa: F401

        self._folder = folder
        bootstrap_project(Path.cwd())

    def do(self, piece: int, *, undisturbed: bool, again: bool) -> None:
        """Run; after a kill that met a run at work, only what is missing."""
        settings = f"output_root={self._place(undisturbed)},salaries.split.seed={piece}"
        command = ["run", "--pipeline=salaries", "--env=test", f"--params={settings}"]
        begun = (self._place(undisturbed) / "06_models/salaries/.unfinished.json").exists()
        cli.main([*command, "--only-missing-outputs"] if again and begun else command, standalone_mode=False)

    def digests(self, piece: int, *, undisturbed: bool) -> list[str]:
        """The SHA-256 of what readers use; nothing half may lie beside it."""
        place = self._place(undisturbed)
        left = [*place.rglob(".unfinished.json"), *place.rglob("latest.safetensors")]
        if left:
            sys.exit(f"left behind: {left}")
        return [digest(place / name) for name in self.READ]

    def _place(self, undisturbed: bool) -> Path:
        return self._folder / ("undisturbed" if undisturbed else "disturbed")


WORKS: dict[str, type[Training] | type[Runs]] = {"training": Training, "runs": Runs}


def digest(path: Path) -> str:
    """Give the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
