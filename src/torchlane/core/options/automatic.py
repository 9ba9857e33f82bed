"""Numbers that may be left to a rule: the word `auto` in place of the number."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

AUTO: Literal["auto"] = "auto"

Count = Annotated[int, Field(ge=1)]


def _number_or_auto(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Replace the two faults of a union, one for each of its types, by one that names both."""
    try:
        return handler(value)
    except ValidationError as error:
        raise ValueError(f"a whole number, 1 or more, or {AUTO} is needed, not {value!r}") from error


Automatic = Annotated[Count | Literal["auto"], WrapValidator(_number_or_auto)]
AutomaticOrNone = Annotated[Count | Literal["auto"] | None, WrapValidator(_number_or_auto)]
