"""Options that may be left to a rule: the word `auto` in place of the number."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

AUTO: Literal["auto"] = "auto"

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]


def _or_auto(needed: str) -> WrapValidator:
    """Replace the two faults of a union, one for each of its types, by one that names both."""

    def validated(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValueError(f"{needed}, or {AUTO} is needed, not {value!r}") from error

    return WrapValidator(validated)


_COUNT_OR_AUTO, _RATE_OR_AUTO = _or_auto("a whole number, 1 or more"), _or_auto("a number above 0")
Automatic = Annotated[Count | Literal["auto"], _COUNT_OR_AUTO]
AutomaticOrNone = Annotated[Count | Literal["auto"] | None, _COUNT_OR_AUTO]
AutomaticRate = Annotated[Rate | Literal["auto"], _RATE_OR_AUTO]
