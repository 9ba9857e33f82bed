"""Networks from options: one file a kind, chosen in `building`."""

from torchlane.core.models.activations import activation_class
from torchlane.core.models.building import build_model
from torchlane.core.models.capacity import describe_capacity
from torchlane.core.models.initialisation import initialise

__all__ = ["activation_class", "build_model", "describe_capacity", "initialise"]
