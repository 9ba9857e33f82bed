"""The recipe: the options that determine a trained model, all of which a search may change."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from torchlane.core.options.automatic import AUTO
from torchlane.core.options.base import Options
from torchlane.core.options.by_rows import fitted_values, fitting
from torchlane.core.options.encoding import EncodingOptions
from torchlane.core.options.network import ModelOptions
from torchlane.core.options.searchable import DEPTH, LAYERED, WIDTH, path_of, put_option
from torchlane.core.options.training import TrainingOptions

Values = Mapping[str, Any]  # of options by name, written as the option takes them


def require_shareable(model: ModelOptions, training: TrainingOptions) -> None:
    """Check that a network has weights that members can share, if they are to.

    Raises:
        ValueError: it has not.
    """
    if training.sharing in (AUTO, "none"):
        return
    fault, way_out = "", ""
    if model.kind != "mlp":
        fault, way_out = f"is for perceptrons, and model.kind is {model.kind}", "model.kind to mlp"
    elif not model.widths:
        fault, way_out = "shares the weights of hidden layers, and model.widths names none", "a width in model.widths"
    if fault:
        raise ValueError(f"sharing {training.sharing} {fault}; set training.sharing to none, or {way_out}")


class Recipe(Options):
    """How rows are encoded, the network, and how it is trained.

    `trials` is the number of trials of the search that chose some of the options, or 0 if all are as given.
    """

    encoding: EncodingOptions
    model: ModelOptions
    training: TrainingOptions
    trials: int = 0

    @model_validator(mode="after")
    def _network_can_share(self) -> Self:
        require_shareable(self.model, self.training)
        return self

    def changed(self, values: Values) -> "Recipe":
        """Return a recipe with these options set.

        Raises:
            ValueError: an option does not take its value, or the network has no such option.
        """
        sections = self.model_dump()
        for name, value in sorted(values.items()):  # a group before the options in it
            if name == WIDTH or (name == DEPTH and self.model.kind in LAYERED):
                continue
            put_option(sections, name, value)
        if WIDTH in values or (DEPTH in values and self.model.kind in LAYERED):
            sections["model"]["widths"] = self._layers(values)
        return Recipe.model_validate(sections)

    def fitted(self, n_rows: int, *, is_table: bool) -> "Recipe":
        """Return a recipe that leaves nothing to the number of rows of train, apart from `training.sharing`.

        That follows from the network and the number of members too, which a trial may change.
        """
        values = fitted_values(self.training, fitting(self.training, self.model, n_rows, is_table=is_table))
        values.pop("sharing", None)
        return self.changed({f"training.{name}": value for name, value in values.items()}) if values else self

    def value(self, name: str, unset: Any = None) -> Any:
        """Return the value of an option, or `unset` if it has none."""
        if name == WIDTH:
            return self.model.widths[0] if len(set(self.model.widths)) == 1 else unset
        if name == DEPTH and self.model.kind in LAYERED:
            return len(self.model.widths)
        found: Any = self.model_dump()
        for key in path_of(name):
            if not isinstance(found, Mapping) or key not in found:
                return unset
            found = found[key]
        return found

    def _layers(self, values: Values) -> tuple[int, ...]:
        if self.model.kind not in LAYERED:
            raise ValueError(f"{WIDTH} is for kinds {' and '.join(LAYERED)}, not {self.model.kind}; use model.widths")
        if "model.widths" in values:
            raise ValueError(f"model.widths excludes {WIDTH} and {DEPTH}; leave out one of them from the space")
        depth = values.get(DEPTH, len(self.model.widths))
        if WIDTH not in values and len(set(self.model.widths)) > 1:
            raise ValueError(f"{DEPTH} needs {WIDTH} too, since model.widths {self.model.widths} differ")
        return (values.get(WIDTH, self.model.widths[0] if self.model.widths else 64),) * depth
