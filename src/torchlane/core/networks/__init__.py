"""Networks from options: one file per kind, chosen in `building`."""

from torchlane.core.networks.building import build_model
from torchlane.core.networks.capacity import describe_capacity
from torchlane.core.networks.initialisation import initialise
from torchlane.core.networks.memory import require_memory
from torchlane.core.networks.network import build_layout, build_network, fit_options

__all__ = [
    "build_layout",
    "build_model",
    "build_network",
    "describe_capacity",
    "fit_options",
    "initialise",
    "require_memory",
]
