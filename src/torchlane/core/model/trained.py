"""A trained model: everything that prediction needs, in one file without pickle."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from torchlane.core.encoding import storing
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.spelling import respelt_columns
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.layers.aligned import align_rows
from torchlane.core.machine.files import replacing
from torchlane.core.machine.threads import multiply_adds, threads_for, torch_threads
from torchlane.core.model.blocks import BLOCK_ROWS, by_blocks
from torchlane.core.model.calibration import Calibration, intervals, tempered
from torchlane.core.networks import build_network, named
from torchlane.core.networks.building import FOREIGN
from torchlane.core.options import DataOptions, ModelOptions, TrainingOptions, require_coverage, shown_number
from torchlane.core.options.searchable import LAYERED
from torchlane.core.rows.checking import ROW, apply_rules
from torchlane.core.rows.levels import natural_order
from torchlane.core.stacks.choice import stacked_forward
from torchlane.core.stacks.layout import NotStackableError
from torchlane.core.stacks.perceptrons import is_perceptron
from torchlane.core.tasks.tasks import TASKS, Task

logger = logging.getLogger(__name__)

FORMAT = "torchlane-model-5"
COVERAGE = 0.9  # default of intervals


@dataclass(frozen=True)
class TrainedModel:
    """Weights with a leading member axis, and the options and encoder that they belong to.

    `weights` maps the names of the network's `state_dict` to tensors (members, …). `calibration` was learned
    from valid. `details` documents the training: source and fingerprint of the rows, metrics of train and
    valid, library versions, device and threads. `fingerprint` is the SHA-256 of the file that the model was
    read from.

    A model that was refitted has `details["refit"]`: the number of `rows`, how many of them are `valid_rows`, and the
    `epochs` of each member. Its `valid_outputs`, float32 (members, n_rows, width), are those of the weights before,
    for the rows of valid; they are no part of the file.
    """

    weights: dict[str, Tensor]
    encoder: Encoder
    data: DataOptions
    model: ModelOptions
    training: TrainingOptions
    details: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    fingerprint: str = ""
    valid_outputs: Tensor = field(default_factory=lambda: torch.empty(0, 0, 0), repr=False, compare=False)

    @property
    def task(self) -> Task:
        return TASKS[self.encoder.target.task]

    @property
    def n_members(self) -> int:
        return len(next(iter(self.weights.values())))

    def __repr__(self) -> str:
        """Describe the model in one line, without its weights."""
        target = self.encoder.target
        about = [f"{target.task} of '{target.name}'"]
        if target.positive is not None:
            about.append(f"positive label '{target.positive}'")
        n_features = len(self.data.feature_columns)
        about.append(f"{n_features} {'feature' if n_features == 1 else 'features'}")
        kind = self.model.kind or "network"
        widths = f" {list(self.model.widths)}" if self.model.kind in LAYERED else ""
        about.append(f"{self.n_members} {'member' if self.n_members == 1 else 'members'} of {kind}{widths}")
        if rows := {**self.details.get("profile", {}), **self.details.get("refit", {})}.get("rows"):
            about.append(f"trained on {rows:,} rows")
        metric, metrics = self.task.primary_metric, self.details.get("metrics", {})
        part = next((part for part in ("valid", "train") if f"{part}_{metric}" in metrics), None)
        if part is not None:
            about.append(f"{part} {metric} {shown_number(metrics[f'{part}_{metric}'])} of a member")
        return f"<TrainedModel: {'; '.join(about)}>"

    def network(self, member: int = 0) -> nn.Module:
        """Rebuild one member, in eval mode on the CPU."""
        foreign = self.model.kind in FOREIGN
        with torch.random.fork_rng(devices=()), torch.device("cpu" if foreign else "meta"):
            network = build_network(self.model, self.encoder, from_published=False)
        network.load_state_dict({name: stacked[member] for name, stacked in self.weights.items()}, assign=not foreign)
        return network.eval()

    def outputs(self, features: Tensor) -> Tensor:
        """Run every member on encoded features (n_rows, …): float32 (members, n_rows, width)."""
        with torch_threads(self._threads), torch.inference_mode():
            return by_blocks(self._forward, features, rows_in=0, rows_out=1)

    @cached_property
    def _forward(self) -> Callable[[Tensor], Tensor]:
        """The function for all members' outputs (members, n_rows, width); one stacked program if possible.

        A program of perceptrons pads their rows; the layers of other networks are aligned.
        """
        networks = [self.network(member) for member in range(self.n_members)]
        if not is_perceptron(networks[0]):
            networks = [align_rows(network) for network in networks]
        try:
            if len(networks) > 1 or is_perceptron(networks[0]):
                return stacked_forward(networks, self._few_rows)
        except NotStackableError:
            pass
        return lambda features: torch.stack([network(features) for network in networks])

    @cached_property
    def _threads(self) -> int:
        """The number of threads for a block of rows."""
        in_block = BLOCK_ROWS * self.n_members
        return threads_for(lambda: in_block * multiply_adds(self.network(), self._few_rows[:1]))

    @property
    def _few_rows(self) -> Tensor:
        dtype = torch.float32 if self.encoder.image is None else torch.uint8
        return torch.zeros(2, *self.encoder.feature_shape, dtype=dtype)

    def member_predictions(self, features: Tensor) -> Tensor:
        """Predict with each member: float64 (members, n_rows) values, or (members, n_rows, n_labels) probabilities."""
        return self.predictions_of(self.outputs(features))

    def predictions_of(self, outputs: Tensor) -> Tensor:
        """Turn the result of `outputs` into that of `member_predictions`."""
        return by_blocks(lambda block: self.task.predict(block, self.encoder.target), outputs, rows_in=1, rows_out=1)

    def joint_prediction(self, of_members: Tensor) -> Tensor:
        """Join the results of `member_predictions` by their mean; probabilities are calibrated on valid."""
        return by_blocks(self.join_members, of_members, rows_in=1, rows_out=0)

    def join_members(self, of_members: Tensor) -> Tensor:
        """Do the same as `joint_prediction`, but not in blocks, so a row's last bits may depend on other rows."""
        mean = of_members.mean(0)
        return mean if self.encoder.target.task == "regression" else tempered(mean, self.calibration.temperature)

    def spread(self, of_members: Tensor) -> Tensor:
        """Compute the standard deviation (n_rows,) of the members' values (members, n_rows)."""
        return by_blocks(lambda block: block.std(0, correction=0), of_members, rows_in=1, rows_out=0)

    def calibrated(self, valid: TensorDataset, held_out: Tensor) -> "TrainedModel":
        """Calibrate on encoded rows that no weight was trained on. Without rows the model is returned unchanged.

        For regression, `held_out` are the members' outputs for these rows (members, n_rows), as `HeldOut`
        keeps them.
        """
        if not len(valid):
            return self
        features, targets, *weights = valid.tensors
        target = self.encoder.target
        if target.task == "regression":
            of_members = target.decode(held_out)
            truth = target.decode(targets.flatten())
            calibration = Calibration.of_values(of_members.mean(0), self.spread(of_members), truth, *weights)
        else:
            calibration = Calibration.of_probabilities(
                self.member_predictions(features).mean(0), targets.flatten().long(), *weights
            )
        return replace(self, calibration=calibration)

    def predict(self, rows: pd.DataFrame, coverage: float = COVERAGE) -> pd.DataFrame:
        """Predict raw rows in the order given. They need the feature columns, but no target.

        The result has the index of `rows` and a column `prediction`. For regression, this is a value in the
        units of the raw file, followed by its `spread` (standard deviation over members) and the ends `low`
        and `high` of an interval. The interval covers the truth of a share `coverage` of new rows, and is cut
        to the bounds declared for the target, or to the prediction where that is out of bounds itself, so that it
        always contains its prediction. For classification, it is a label in its original type (text,
        int64 or bool), followed by a column `probability_<label>` for each label.

        Raises:
            ValueError: `rows` is not a DataFrame, a column is missing or occurs twice, a row breaks a rule of its
                column, or `coverage` is not a share.
        """
        if not isinstance(rows, pd.DataFrame):
            columns = ", ".join(self.data.feature_columns)
            raise ValueError(
                f"predict takes a pandas DataFrame, not a {type(rows).__name__}; give it one with the columns {columns}"
            )
        clean, rejected = apply_rules(rows, self.data.feature_columns, self.data.missing_values)
        if len(rejected):
            first = rejected.iloc[0]
            raise ValueError(
                f"{rejected[ROW].nunique()} of {len(rows)} rows break a rule, first row {first[ROW]}: "
                f"'{first['column']}' is '{first['value']}', which is not {first['rule']}; correct or drop these rows"
            )
        features = self.encoder.encode_features(clean)
        for respelling in respelt_columns(self.encoder, clean, features):
            logger.warning("%s", respelling)
        return self.describe_predictions(torch.from_numpy(features), coverage).set_axis(rows.index)

    def describe_predictions(self, features: Tensor, coverage: float = COVERAGE) -> pd.DataFrame:
        """Predict encoded rows (n_rows, n_features); the result has the columns of `predict`."""
        return self.describe(self.member_predictions(features), coverage)

    def describe(self, each: Tensor, coverage: float = COVERAGE) -> pd.DataFrame:
        """Make the table of `describe_predictions` from a result of `member_predictions`."""
        require_coverage(coverage)
        joint = self.joint_prediction(each).numpy()
        if self.encoder.target.task == "regression":
            spread = self.spread(each).numpy()
            table = pd.DataFrame({"prediction": joint, "spread": spread})
            half_width = self.calibration.half_width(coverage)
            if half_width is None:
                return table
            low, high = intervals(joint, half_width * (1 + self.calibration.spread_weight * spread), self.data)
            return table.assign(low=low, high=high)
        target = self.encoder.target
        labels = target.restore(target.labels)
        listed = natural_order(target.labels) if target.task == "binary" else target.labels
        in_order = [target.labels.index(label) for label in listed]
        probabilities = {f"probability_{labels[index]}": joint[:, index] for index in in_order}
        return pd.DataFrame({"prediction": labels[joint.argmax(1)], **probabilities})

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; an older one is replaced atomically."""
        encoder, quantiles = storing.split_encoder(self.encoder)
        parts = {
            name: getattr(self, name).model_dump(mode="json") for name in ("data", "model", "training", "calibration")
        }
        header = {"format": FORMAT, "encoder": encoder, **parts, "details": self.details}
        weights = {name: tensor.contiguous() for name, tensor in self.weights.items()}
        with replacing(Path(path)) as partial:
            storing.save_with_header(partial, {**weights, **quantiles}, header)


def load(path: str | Path, *, trust: str | None = None) -> TrainedModel:
    """Read a model file; nothing in it is ever executed or unpickled.

    `trust` names the user's own network class, as `package.module.Class`. The class is imported when the
    model predicts, and never because a file alone names it.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a model file, is truncated, or has another format version.
    """
    if trust is not None:
        named.trust(trust)
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no model file {path}; train one with kedro run, or name another path")
    fingerprint = _digest(path)
    try:
        header, tensors = storing.read_with_header(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file ({error}); only those are loaded") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} has format {header.get('format', 'unknown')}, not {FORMAT}; train it again")
    model = TrainedModel(
        weights={name: tensor for name, tensor in tensors.items() if not name.startswith(storing.PREFIX)},
        encoder=storing.join_encoder(header["encoder"], tensors),
        data=DataOptions.model_validate(header["data"]),
        model=ModelOptions.model_validate({"numbers": "plain", **header["model"]}),  # older files do not say this
        training=TrainingOptions.model_validate({"sharing": "none", "refit": False, **header["training"]}),  # nor this
        details=header["details"],
        calibration=Calibration.model_validate(header["calibration"]),
        fingerprint=fingerprint,
    )
    return model if _digest(path) == fingerprint else load(path, trust=trust)  # the file was replaced meanwhile


def labels_in(path: str | Path) -> tuple[str, ...] | None:
    """Read the labels that the outputs of a model file are for, in order; None if it is none, or for numbers."""
    if Path(path).suffix != ".safetensors" or not Path(path).is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            target = json.loads((file.metadata() or {})[storing.HEADER])["encoder"]["target"]
        return TargetEncoder.model_validate(target).labels or None
    except (SafetensorError, KeyError, TypeError, ValueError):  # another program's file
        return None


def _digest(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
