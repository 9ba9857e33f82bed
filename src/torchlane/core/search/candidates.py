"""Trials made ready to train: from the values of a trial to its networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.devices import choose_device
from torchlane.core.networks import build_network, fit_options, require_memory
from torchlane.core.options import (
    EncodingOptions,
    Recipe,
    TrainingOptions,
    TuningOptions,
    fault_in_options,
    fitting,
)
from torchlane.core.rows.splits import rows_of
from torchlane.core.search.ground import Ground
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.members import Member, make_members
from torchlane.core.training.optimizers import Schedule, make_optimizer

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Candidate:
    """A trial with its networks and what they are made by, or with the reason why it has none."""

    trial: "FrozenTrial"
    members: Sequence[Member]
    encoder: Encoder | None = None
    recipe: Recipe | None = None
    error: str = ""

    @property
    def number(self) -> int:
        return self.trial.number


class CandidateBuilder:
    """Builds the networks of trials. Trials with the same encoding share one encoder and its tensors."""

    def __init__(self, ground: Ground):
        self._ground = ground
        self._encoded: dict[str, tuple[Encoder, TensorDataset, TensorDataset]] = {}

    def build(self, trial: "FrozenTrial", values: Mapping[str, Any]) -> Candidate:
        """Build the networks of a trial. Values that do not fit together fail this trial, not the search."""
        ground = self._ground
        try:
            recipe = ground.recipe.changed(values)
            encoder, train, valid = self._encode(recipe.encoding)
            asked = _training_of(recipe.training, ground.options)
            training = fitting(asked, recipe.model, len(train), is_table=encoder.image is None)
            objective, device = Objective.of(encoder.target, training.loss), choose_device(training.device)
            model, _ = fit_options(recipe.model, encoder, len(train))
            require_memory(model, encoder, training, device)
            build = partial(build_network, model, encoder, training.augmentation)
            members = make_members(build, train, valid, objective, training, device)
            optimizer = make_optimizer(members[0].model.parameters(), training.optimizer, training.learning_rate)
            Schedule(optimizer, training.scheduler, training.epochs, len(members[0].batch_sizes))
        except ValueError as error:
            return Candidate(trial, [], error=fault_in_options(error))
        return Candidate(trial, members, encoder, recipe.model_copy(update={"model": model}))

    def _encode(self, encoding: EncodingOptions) -> tuple[Encoder, TensorDataset, TensorDataset]:
        """Fit an encoder on train and encode train and valid, once for each encoding."""
        key = encoding.model_dump_json()
        if key not in self._encoded:
            ground = self._ground
            parts = [rows_of(part, ground.clean_rows, ground.splits) for part in ("train", "valid")]
            encoder = fit_encoder(parts[0], ground.data, encoding)
            train, valid = (build_tensors(rows, encoder) for rows in parts)
            self._encoded[key] = encoder, train, valid
        return self._encoded[key]


def _training_of(training: TrainingOptions, options: TuningOptions) -> TrainingOptions:
    return training.model_copy(update={"members": options.members, "epochs": options.epochs or training.epochs})
