"""Names in torch that are used most, with arguments of theirs: options that have only these are checked without torch.

Importing torch takes longer than the stage prepare. For everything that is not here, torch itself is asked.
"""

from collections.abc import Mapping
from typing import Any

ACTIVATIONS = frozenset({"ELU", "GELU", "LeakyReLU", "Mish", "ReLU", "SELU", "Sigmoid", "SiLU", "Softplus", "Tanh"})
_NUMBER = (float, int)
_ADAM = {"weight_decay": _NUMBER, "eps": _NUMBER, "amsgrad": (bool,)}
OPTIMIZERS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "RMSprop": {"weight_decay": _NUMBER, "eps": _NUMBER, "alpha": _NUMBER, "momentum": _NUMBER},
    "SGD": {"weight_decay": _NUMBER, "momentum": _NUMBER, "nesterov": (bool,)},
}
SCHEDULERS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "CosineAnnealingLR": {"eta_min": _NUMBER},
    "OneCycleLR": {"pct_start": _NUMBER, "div_factor": _NUMBER, "final_div_factor": _NUMBER},
}


def is_familiar(name: str, arguments: Mapping[str, Any], known: Mapping[str, Mapping[str, tuple[type, ...]]]) -> bool:
    """Say whether torch takes a class with these arguments for sure; a value of another type is not familiar.

    >>> is_familiar("SGD", {"momentum": 0.9}, OPTIMIZERS), is_familiar("SGD", {"momentum": True}, OPTIMIZERS)
    (True, False)
    """
    types = known.get(name)
    return types is not None and all(type(value) in types.get(each, ()) for each, value in arguments.items())
