"""Torchlane: raw tables to trained, explained, deployable PyTorch models, as one Kedro pipeline."""

from typing import TYPE_CHECKING, Any

from torchlane.core.machine.waiting import wait_briefly

if TYPE_CHECKING:
    from torchlane.core.exchange import export_model, import_weights
    from torchlane.core.model.trained import TrainedModel, load

__version__ = "0.1.0"
__all__ = ["TrainedModel", "export_model", "import_weights", "load"]

wait_briefly()


def __getattr__(name: str) -> Any:
    """Import torch only when a model is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'torchlane' has no attribute '{name}'")
    if name in ("export_model", "import_weights"):
        from torchlane.core import exchange

        return getattr(exchange, name)
    from torchlane.core.model import trained as inference

    return getattr(inference, name)
