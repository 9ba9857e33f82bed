"""What all options have in common."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from torchlane.core.options.levels import plain_level
from torchlane.core.options.truth import require_no_truth

Fraction = Annotated[float, Field(ge=0, lt=1)]
Level = Annotated[str, BeforeValidator(plain_level)]


class Options(BaseModel):
    """Frozen, with no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        require_no_truth(value, cls.model_fields[str(info.field_name)].annotation)
        return value


def fault_in_options(error: ValueError) -> str:
    """Say in one line what is wrong with some options."""
    if not isinstance(error, ValidationError):
        return " ".join(str(error).split())
    fault = error.errors()[0]
    place = ".".join(map(str, fault["loc"]))
    rule = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {rule[0].lower()}{rule[1:]}"
