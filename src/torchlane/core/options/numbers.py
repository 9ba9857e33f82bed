"""How a perceptron of a table takes numbers."""

from typing import Literal, Self

from pydantic import Field, model_validator

from torchlane.core.options.base import Options

NumbersKind = Literal["plain", "piecewise_linear", "periodic"]
OPTIONS_OF_NUMBERS: dict[str, tuple[str, ...]] = {  # in addition to kind
    "plain": (),
    "piecewise_linear": ("bins", "width"),
    "periodic": ("frequencies", "sigma", "width"),
}


class NumbersOptions(Options):
    """How a perceptron takes the numbers of a table. `numbers` may be just the kind.

    `plain` takes each number as it is encoded. The other two replace it by an embedding of `width` numbers, which is
    learned with the network (Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning, 2022).
    `piecewise_linear` is linear within each of `bins` bins. Their edges are quantiles of train. A number with fewer
    distinct values has fewer bins. `periodic` makes cosines and sines of `frequencies` multiples of the number. These
    are trained too, and at first drawn from a normal distribution with deviation `sigma`.

    Numbers and the scaled parts of dates are embedded. Flags of missing values, points on a circle and the codes of
    categories stay as they are.
    """

    kind: NumbersKind = "plain"
    width: int = Field(16, ge=1)
    bins: int = Field(48, ge=1)
    frequencies: int = Field(48, ge=1)
    sigma: float = Field(0.1, gt=0)

    @property
    def n_basis(self) -> int:
        """The number of functions of a number that an embedding is made of; 0 for kind plain."""
        return {"plain": 0, "piecewise_linear": 2 + self.bins, "periodic": 1 + 2 * self.frequencies}[self.kind]

    @model_validator(mode="after")
    def _options_fit_kind(self) -> Self:
        fitting = OPTIONS_OF_NUMBERS[self.kind]
        for name, field in type(self).model_fields.items():
            if name not in ("kind", *fitting) and getattr(self, name) != field.default:
                has = f"which has {', '.join(fitting)}" if fitting else "which has no options"
                owners = [kind for kind, names in OPTIONS_OF_NUMBERS.items() if name in names]
                raise ValueError(f"{name} is for kind {' and '.join(owners)}, not {self.kind}, {has}")
        return self


PLAIN = NumbersOptions.model_validate({"kind": "plain"})


def named_kind(value: object) -> object:
    """Take the kind alone for options with this kind."""
    return {"kind": value} if isinstance(value, str) else value
