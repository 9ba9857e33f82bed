"""How a perceptron of a table takes numbers."""

from typing import Literal, Self

from pydantic import Field, model_validator

from torchlane.core.options.base import Options

NumbersKind = Literal["auto", "plain", "bins", "piecewise_linear", "periodic"]
OPTIONS_OF_NUMBERS: dict[str, tuple[str, ...]] = {  # in addition to kind
    "auto": ("bins",),
    "plain": (),
    "bins": ("bins",),
    "piecewise_linear": ("bins", "width"),
    "periodic": ("frequencies", "sigma", "width"),
}


class NumbersOptions(Options):
    """How a perceptron takes the numbers of a table. `numbers` may be just the kind, or just options of kind `bins`.

    `plain` takes each number as it is encoded. `bins` adds how far the number has come through each of `bins` bins, so
    that the first linear layer can bend at their edges. The edges are quantiles of train. A number has fewer bins if
    it has fewer distinct values, or if one of them is frequent, as the median that stands for missing values may be.
    `auto` is `bins`, but `plain` where numbers are many: more than 128, or than a tenth of the rows of train. The
    weights of bins would be too many to learn from so few rows, or to keep.
    The other two kinds replace the number by an embedding of `width` numbers, which is learned with the network.
    `piecewise_linear` is linear within each bin. `periodic` makes cosines and sines of `frequencies` multiples of the
    number. They are trained too, and at first drawn from a normal distribution of deviation `sigma`.
    (Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning, 2022.)

    Numbers and the scaled parts of dates are embedded. Flags of missing values, points on a circle and the codes of
    categories stay as they are. Images and tables of categories have no numbers, so that all kinds are alike there.
    """

    kind: NumbersKind = "plain"
    width: int = Field(16, ge=1)
    bins: int = Field(16, ge=1)
    frequencies: int = Field(48, ge=1)
    sigma: float = Field(0.1, gt=0)

    @property
    def n_basis(self) -> int:
        """The number of functions of a number that what stands for it is made of; 0 for kind plain."""
        binned = 2 + self.bins
        return {"plain": 0, "periodic": 1 + 2 * self.frequencies}.get(self.kind, binned)

    @property
    def n_out(self) -> int:
        """The number of columns that the first linear layer takes for a number."""
        return 1 if self.kind == "plain" else 1 + self.bins if self.is_binned else self.width

    @property
    def is_binned(self) -> bool:
        """Whether bins go straight to the first linear layer; so they do where `auto` has not been decided."""
        return self.kind in ("auto", "bins")

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
