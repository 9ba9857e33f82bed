from collections.abc import Iterable
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from torchlane.core.options import SECTIONS, ColumnOptions, DriftOptions, LossOptions, Options


def annotations(annotation: Any) -> Iterable[Any]:
    """Walk what an annotation is made of."""
    yield annotation
    for each in get_args(annotation):
        yield from annotations(each)


def models() -> list[type[Options]]:
    """Every options model, found from the sections on."""
    found: list[type[Options]] = list(SECTIONS.values())
    for model in found:
        for field in model.model_fields.values():
            inner = (each for each in annotations(field.annotation) if isinstance(each, type))
            found += [each for each in inner if issubclass(each, Options) and each not in found]
    return found


def numeric_fields() -> list[tuple[type[BaseModel], str, Any]]:
    """Each field that takes a number, with true in its place, bare or in the container that the field takes."""
    fields = []
    for model in models():
        for name, field in model.model_fields.items():
            inner = [each for each in annotations(field.annotation) if each in (int, float)]
            if inner:
                containers = {get_origin(each) for each in annotations(field.annotation)}
                value: Any = {"label": True} if dict in containers else [True] * 3 if tuple in containers else True
                fields.append((model, field.alias or name, value))
    return fields


def test_walk_finds_the_models_within_sections_and_their_containers():
    found = {(model, name) for model, name, _ in numeric_fields()}
    assert {(ColumnOptions, "size"), (DriftOptions, "min_rows"), (LossOptions, "class_weights")} <= found
    assert len(found) > 40


@pytest.mark.parametrize(("model", "name", "value"), numeric_fields())
@pytest.mark.parametrize("truth", [True, False])
def test_no_option_takes_true_or_false_for_a_number(model, name, value, truth):
    given = truth if value is True else dict.fromkeys(value, truth) if isinstance(value, dict) else [truth] * 3
    with pytest.raises(ValidationError) as caught:
        model.model_validate({name: given})
    assert any(
        fault["loc"][0] == name and f"a number is needed, not {str(truth).lower()}" in fault["msg"]
        for fault in caught.value.errors()
    )
