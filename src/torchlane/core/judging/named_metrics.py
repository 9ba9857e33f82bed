"""Metrics of torchmetrics that a use case names, computed beside those of its task.

They are what torchmetrics computes, in float64: where a metric is not defined, it often gives 0. They count every
row once.
"""

import inspect
import math
import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from torchlane.core.judging.classes import Scores
from torchlane.core.options.named_metrics import ENDINGS, MetricOptions
from torchlane.core.tasks.tasks import TASKS

NamedMetrics = Mapping[str, MetricOptions]
PACKAGES = {  # of torchmetrics, whose metrics suit a task; a label is 0 or 1 for a metric of numbers
    "regression": ("regression",),
    "binary": ("classification", "regression"),
    "multiclass": ("classification",),
}
N_LABELS_TRIED = {"regression": 0, "binary": 2, "multiclass": 100}  # enough for any top_k


def score_named(named: NamedMetrics, task: str, n_labels: int, prediction: Tensor, truth: Tensor) -> Scores:
    """Compute named metrics; one that is not finite is None. `Task` describes the shapes.

    Raises:
        ValueError: torchmetrics is not installed, or a metric cannot be made, does not suit the task, does not give one
            number, or has a name that is taken or says the wrong thing.
    """
    scores: Scores = {}
    for key, options in named.items():
        metric = _build(key, options, task, n_labels)
        value = _compute(key, options, task, metric, prediction, truth)
        name = _name_of(key, options, task, metric)
        if name in scores:
            raise ValueError(f"two metrics would be called {name}; give {key} another name")
        scores[name] = value if math.isfinite(value) else None
    return scores


def check_named(named: NamedMetrics, task: str) -> None:
    """Try metrics on a few rows of a task, so that a fault is known before anything is trained.

    Raises:
        ValueError: `score_named` does.
    """
    n_labels = N_LABELS_TRIED[task]
    truth, prediction = torch.tensor([1.0, 2.0, 4.0, 3.0]).double(), torch.tensor([1.5, 2.0, 3.0, 3.5]).double()
    if n_labels:
        truth = torch.arange(2 * n_labels) % n_labels
        prediction = torch.linspace(1, 2, 2 * n_labels * n_labels).double().view(-1, n_labels).sin().square()
        prediction /= prediction.sum(1, keepdim=True)
    score_named(named, task, n_labels, prediction, truth)


def _build(key: str, options: MetricOptions, task: str, n_labels: int) -> Any:
    made = _metric_class(options.name)
    if made.__module__.split(".")[1] not in PACKAGES[task]:
        choices = " and ".join(f"torchmetrics.{package}" for package in PACKAGES[task])
        raise ValueError(f"metric {key}: {options.name} does not suit {task}; choose from those of {choices}")
    factory = made.__new__ if "task" in inspect.signature(made.__new__).parameters else made.__init__
    ours = {"task": task, "num_classes": n_labels} if n_labels else {}
    arguments = {name: value for name, value in ours.items() if name in inspect.signature(factory).parameters}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return made(**arguments, **options.arguments).set_dtype(torch.float64)
    except Exception as error:  # whatever the class raises
        raise ValueError(f"metric {key}: {options.name} cannot be made for {task}: {_one_line(error)}") from error


def _metric_class(name: str) -> Any:
    """Import a class of torchmetrics.

    Raises:
        ValueError: torchmetrics is not installed or has no such metric.
    """
    if find_spec("torchmetrics") is None:
        raise ValueError(
            f"{name} needs torchmetrics; install the tested version with uv sync --group metrics, or leave it out"
        )
    import torchmetrics

    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError:
        found = None
    if not (inspect.isclass(found) and issubclass(found, torchmetrics.Metric)):
        raise ValueError(f"'{name}' is not a metric of torchmetrics {torchmetrics.__version__}; write its full name")
    return found


def _compute(key: str, options: MetricOptions, task: str, metric: Any, prediction: Tensor, truth: Tensor) -> float:
    """Give all labels to a metric for several of them, and the probability of the second one to any other."""
    if task == "binary" and not type(metric).__name__.startswith("Multiclass"):
        prediction = prediction[:, 1]
    if type(metric).__module__.startswith("torchmetrics.regression"):
        truth = truth.double()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            metric.update(prediction.contiguous(), truth)
            result = metric.compute()
    except Exception as error:  # whatever the class raises
        raise ValueError(f"metric {key}: {options.name} does not suit {task}: {_one_line(error)}") from error
    if not isinstance(result, Tensor) or result.numel() != 1:
        raise ValueError(f"metric {key}: {options.name} gives more than one number with these arguments; change them")
    return float(result)


def _name_of(key: str, options: MetricOptions, task: str, metric: Any) -> str:
    """Name a metric as in metrics.json, where the ending says whether higher is better."""
    higher, known = metric.higher_is_better, [ending for each in ENDINGS.values() for ending in each]
    if higher is None and not key.endswith(tuple(known)):
        raise ValueError(
            f"metric {key}: {options.name} does not say whether higher is better; "
            f"give it a name that ends in _score if so, or in _error or _loss if not"
        )
    if higher is not None and key.endswith(tuple(known)) and not key.endswith(ENDINGS[higher]):
        raise ValueError(
            f"metric {key}: {options.name} is better when {'higher' if higher else 'lower'}; "
            f"give it a name that ends in {' or '.join(ENDINGS[higher])}"
        )
    name = key if key.endswith(tuple(known)) else key + ENDINGS[higher][0]
    if name in TASKS[task].metrics:
        raise ValueError(f"metric {key}: {task} has a {name} of its own; give this one another name")
    return name


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
