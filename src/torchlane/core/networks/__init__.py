"""Networks from options: one file a kind, chosen in `building`."""

from torchlane.core.networks.activations import activation_class
from torchlane.core.networks.building import build_model
from torchlane.core.networks.capacity import describe_capacity
from torchlane.core.networks.initialisation import initialise

__all__ = ["activation_class", "build_model", "describe_capacity", "initialise"]
