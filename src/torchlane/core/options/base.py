"""What all options have in common, and how a fault in them is described."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from torchlane.core.options.booleans import refuse_booleans
from torchlane.core.options.levels import plain_level

Fraction = Annotated[float, Field(ge=0, lt=1)]
Level = Annotated[str, BeforeValidator(plain_level)]


def is_none(value: object) -> bool:
    """Say whether an option is left out; some that are do not appear in what is written."""
    return value is None


class Options(BaseModel):
    """Base of all options: frozen, and unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_are_not_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        refuse_booleans(value, cls.model_fields[str(info.field_name)].annotation)
        return value


def fault_in_options(error: ValueError) -> str:
    """Describe the first fault in some options in one line."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {broken_rule(fault['msg'])}"


def broken_rule(message: str) -> str:
    """Turn a message of pydantic into one that can follow a colon.

    >>> broken_rule("Value error, Low 3 must be below high 2")
    'low 3 must be below high 2'
    """
    rule = message.removeprefix("Value error, ")
    return f"{rule[0].lower()}{rule[1:]}"
