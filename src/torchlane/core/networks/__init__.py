"""Networks from options: one file a kind, chosen in `building`."""

from torchlane.core.networks.building import build_model
from torchlane.core.networks.capacity import describe_capacity
from torchlane.core.networks.initialisation import initialise
from torchlane.core.options.torch_names import activation_class

__all__ = ["activation_class", "build_model", "describe_capacity", "initialise"]
