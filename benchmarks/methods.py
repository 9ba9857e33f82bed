"""The methods that are compared, on jobs in folders: run what is missing, score what is there."""

import hashlib
import importlib
import json
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from peers.jobs import Fit, Job, Predict, keep, read_job, run_job, write_job
from peers.near import NEAR
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import Options
from torchlane.core.rows.levels import natural_order
from torchlane.core.tasks.tasks import TASKS

HERE = Path(__file__).parent
PACKAGES = {  # of PyPI, and what is imported
    "LightGBM": ("lightgbm", "lightgbm"),
    "CatBoost": ("catboost", "catboost"),
    "XGBoost": ("xgboost-cpu", "xgboost"),
}
FAR = {"RealMLP-TD": "deep.py", "TabM-D": "deep.py", "AutoGluon": "automatic.py"}
OURS = "torchlane"
METHODS = (OURS, *NEAR, *FAR)
SECOND = {"regression": "mean_absolute_error", "binary": "cross_entropy_loss", "multiclass": "cross_entropy_loss"}


class Method(NamedTuple):
    """A method as it is run: `fit` in this environment, or else the script of `peers/` that has one of its own."""

    name: str
    settings: str  # all that its predictions depend on beside the rows
    fit: Fit | None = None
    environment: Mapping[str, str] = {}


def peer(name: str) -> Method:
    """Give a peer other than AutoGluon, at its defaults."""
    if name in NEAR:
        package, module = PACKAGES.get(name, ("scikit-learn", "sklearn"))
        importlib.import_module(module)  # or else the first fit takes so much longer
        return Method(name, version(package), NEAR[name])
    return Method(name, FAR[name])


def autogluon(seconds: float, presets: str | None = None, settings: str | None = None) -> Method:
    """Give AutoGluon with a limit on its seconds; `settings` say how the limit came about."""
    shown = settings or f"{seconds:g} s"
    settings = " ".join(each for each in (FAR["AutoGluon"], presets, shown) if each)
    environment = {"AUTOGLUON_SECONDS": str(seconds)} | ({"AUTOGLUON_PRESETS": presets} if presets else {})
    return Method("AutoGluon", settings, environment=environment)


def put_job(folder: Path, rows: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> None:
    """Write the rows `train` and `test` and the facts of a job, unless they are there."""
    train, test, target, task = rows["train"], rows["test"], facts["target"], facts["task"]
    labels = [] if task == "regression" else list(natural_order({*train[target], *test[target]}))
    digest = hashlib.sha256(str({"target": target, "task": task, "labels": labels, "seed": facts["seed"]}).encode())
    for part in (train, test):
        digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
    job = Job(train, test, labels=labels, fingerprint=digest.hexdigest(), **facts)
    if not ((folder / "job.json").exists() and read_job(folder).fingerprint == job.fingerprint):
        write_job(folder, job)


def run_method(method: Method, folders: list[Path], most_seconds: float | None = None) -> None:
    """Fill in the predictions that are missing; a fit of more processor seconds than these ends the method's turn."""
    missing = [folder for folder in folders if not is_done(folder, method)]
    if not missing or (most_seconds and any(_took_longer(folder, method, most_seconds) for folder in folders)):
        return
    if method.fit is None:
        script = HERE / "peers" / FAR[method.name]
        command = ["uv", "run", "--script", script, method.name, "--settings", method.settings, *missing]
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        subprocess.run(list(map(str, command)), env={**environment, **method.environment}, check=False)
    elif most_seconds is None:
        for folder in missing:
            _run(method, folder)
    else:
        _run_at_most(method, missing, most_seconds)


def _run(method: Method, folder: Path) -> None:
    run_job(method.name, method.fit, method.settings, folder)
    print(f"{folder.parent.name} {folder.name}: {method.name}", file=sys.stderr, flush=True)


def _run_at_most(method: Method, folders: list[Path], most_seconds: float) -> None:
    """Run in another process, since no fit can be stopped from within; one process for all, which warms up once."""
    process = multiprocessing.get_context("fork").Process(target=_run_limited, args=(method, folders, most_seconds))
    process.start()
    process.join()
    if process.exitcode == -signal.SIGXCPU:
        folder = next(each for each in folders if not is_done(each, method))
        keep(folder / f"{method.name}.over", {"settings": method.settings, "seconds": most_seconds})
        print(f"{folder.parent.name} {folder.name}: {method.name} takes longer", file=sys.stderr, flush=True)


def _run_limited(method: Method, folders: list[Path], most_seconds: float) -> None:
    for folder in folders:
        soft, hard = math.ceil(time.process_time() + most_seconds), resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        _run(method, folder)


def _took_longer(folder: Path, method: Method, most_seconds: float) -> bool:
    path = folder / f"{method.name}.over"
    if not path.exists():
        return False
    found = json.loads(path.read_text())
    return found["settings"] == method.settings and found["seconds"] >= most_seconds


def is_done(folder: Path, method: Method) -> bool:
    """Whether the predictions are there and still those of these rows and settings."""
    path = folder / f"{method.name}.json"
    if not path.exists():
        return False
    done = json.loads(path.read_text())
    return (done["fingerprint"], done["settings"]) == (read_job(folder).fingerprint, method.settings)


def fit_network(train: pd.DataFrame, valid: pd.DataFrame, options: Mapping[str, Options], job: Job) -> Predict:
    """Train as the pipeline does."""
    data = options["data"]
    encoder = fit_encoder(train, data, options["encoding"])
    training = options["training"].model_copy(update={"seed": job.seed})
    lesson = Lesson(build_tensors(train, encoder), build_tensors(valid, encoder), encoder, training)
    model, _ = train_model(lesson, data, options["model"], NoCheckpoints())

    def predict(rows: pd.DataFrame) -> np.ndarray:
        table = model.predict(rows)
        if data.task == "regression":
            return table["prediction"].to_numpy()
        labels = encoder.target.labels
        return job.probabilities(table[[f"probability_{label}" for label in labels]].to_numpy(), np.array(labels))

    return predict


def score_folder(folder: Path) -> list[dict[str, Any]]:
    """Score the predictions that belong to the rows of a folder, by the primary metric and a second one."""
    job = read_job(folder)
    truth = pd.Index(job.labels).get_indexer(job.test[job.target]) if job.labels else job.test[job.target]
    truth = torch.tensor(np.array(truth))
    task = TASKS[job.task]
    lines = []
    for path in sorted(folder.glob("*.json")):
        done = json.loads(path.read_text())
        if path.stem == "job" or done["fingerprint"] != job.fingerprint:
            continue
        prediction = torch.tensor(done["prediction"], dtype=torch.float64)
        scores = {name: task.score(name, prediction, truth) for name in (task.primary_metric, SECOND[job.task])}
        sizes = {"train": len(job.train), "valid": 0, "test": len(job.test)}
        taken = {name: done.get(name) for name in ("seconds", "processor_seconds")}
        lines.append({"method": path.stem, "task": job.task, **sizes, **scores, **taken})
    return lines
