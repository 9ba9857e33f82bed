"""The rows that a model was trained on, and its outputs for valid by weights that have not seen them."""

from torch import Tensor

from torchlane.core.model.trained import TrainedModel


def is_refit(model: TrainedModel) -> bool:
    """Say whether the weights were trained on valid too."""
    return "refit" in model.details


def learned_parts(model: TrainedModel) -> tuple[str, ...]:
    """Name the parts that the weights were trained on, in the order of the rows."""
    return ("train", "valid") if is_refit(model) else ("train",)


def outputs_of_valid(model: TrainedModel, features: Tensor, places: Tensor | None = None) -> Tensor:
    """Give the outputs for encoded rows of valid, or those at some `places`, of weights that have not seen them.

    They are float32 (members, n_rows, width), as `TrainedModel.outputs` gives them. Those of a refitted model are the
    outputs of the weights before, which the stage train keeps.

    Raises:
        ValueError: the model was refitted, and `valid_outputs` are not those of so many rows.
    """
    if not is_refit(model):
        return model.outputs(features if places is None else features[places])
    kept = model.valid_outputs
    if kept.shape[1] != len(features):
        raise ValueError(
            f"the model was refitted on valid, so only its outputs from before can judge it there, and these are for "
            f"{kept.shape[1]} rows, not {len(features)}; set valid_outputs to what the stage train wrote, or leave out "
            f"valid"
        )
    return kept if places is None else kept[:, places]
