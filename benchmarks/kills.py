"""Training killed at random instants, started again, and compared bit by bit.

    python benchmarks/kills.py [--kills 100] [--seed 0]

Trains four members on the bundled salaries with a checkpoint after each epoch. A child process
trains; it is killed with SIGKILL after a random share of the time that the whole training takes,
and another child goes on in its place. Each training that ends must have the weights, to the bit,
of one that was never disturbed. Then the next training starts from nothing.
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

from torchlane.core.encoders import fit_encoder
from torchlane.core.inference import load
from torchlane.core.learning import train_model
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, SplitOptions, TrainingOptions
from torchlane.core.rows import check_rows
from torchlane.core.samples import draw_rows
from torchlane.core.splits import rows_of, split_rows
from torchlane.core.tensors import build_tensors
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
    """Kill, go on, compare; exit status 1 where a bit differs or a checkpoint is not whole."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)  # before the first fork, no thread of a pool may exist
    task = prepare()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run_child(task, Path(folder, "undisturbed"), kill_after=None)
        whole = time.perf_counter() - started
        expected = digest(Path(folder, "undisturbed"))
        kills = ends = resumed = 0
        place = Path(folder, "0")
        while kills < arguments.kills or (place / "checkpoints").exists():
            had_state = any(place.glob("checkpoints/*.safetensors"))
            wait = None if kills == arguments.kills else draw.uniform(0, whole)
            if run_child(task, place, kill_after=wait):
                ends += 1
                resumed += had_state
                if digest(place) != expected:
                    sys.exit(f"after {kills} kills a resumed training has other weights")
                place = Path(folder, str(ends))
            else:
                kills += 1
    print(
        f"{kills} kills within trainings of {whole:.1f} s; {ends} trainings ended, {resumed} of them from a checkpoint"
    )
    print("all have the bits of the undisturbed one")


def prepare() -> tuple:
    """Build tensors and encoder once; children inherit them."""
    clean, _ = check_rows(draw_rows("salaries"), DATA)
    splits = split_rows(clean, DATA, SplitOptions())
    encoder = fit_encoder(rows_of("train", clean, splits), DATA, EncodingOptions())
    train, valid = (build_tensors(rows_of(part, clean, splits), encoder) for part in ("train", "valid"))
    return train, valid, encoder


def run_child(task: tuple, place: Path, kill_after: float | None) -> bool:
    """Train in a child process; say whether it ended before it was killed."""
    child = os.fork()
    if child == 0:
        train, valid, encoder = task
        model, _ = train_model(train, valid, encoder, DATA, MODEL, TRAINING, FolderStore(place / "checkpoints"))
        model.save(place / "model.safetensors")
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def digest(place: Path) -> str:
    """Check that the model is whole, and give the SHA-256 of its file."""
    path = place / "model.safetensors"
    load(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
