import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from torchlane.core.options import OptimizerOptions
from torchlane.core.options.familiar import ACTIVATIONS, OPTIMIZERS, SCHEDULERS, is_familiar
from torchlane.core.options.torch_names import activation_class, check_optimizer, check_scheduler

VALUES: dict[type, Any] = {bool: True, float: 0.5, int: 1}


def test_torch_takes_every_familiar_name_with_every_argument_of_every_type():
    for name in ACTIVATIONS:
        activation_class(name)
    for known, check in (
        (OPTIMIZERS, check_optimizer),
        (SCHEDULERS, lambda *given: check_scheduler(given[0], "batch", given[1])),
    ):
        for name, types in known.items():
            check(name, {})
            for values in itertools.product(*types.values()):
                arguments = {each: VALUES[kind] for each, kind in zip(types, values, strict=True)}
                assert is_familiar(name, arguments, known)
                check(name, arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Adan", {}), ("SGD", {"momentum": True}), ("SGD", {"wheight_decay": 0.1}), ("SGD", {"lr": 0.1}), ("Muon", {})],
)
def test_what_is_not_familiar_is_refused_by_torch_as_before(name, arguments):
    with pytest.raises(ValidationError):
        OptimizerOptions(name=name, arguments=arguments)
