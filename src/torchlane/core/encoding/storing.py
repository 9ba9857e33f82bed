"""Encoders in files: JSON for everything but quantiles, which are tensors."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from torchlane.core.encoding.encoder import Encoder

PREFIX = "encoder/"  # of the tensors' names; those of weights have no slash
QUANTILES, COUNTS = f"{PREFIX}quantiles", f"{PREFIX}quantile_counts"
HEADER = "torchlane"  # one key only, since safetensors does not write several in a fixed order


def split_encoder(encoder: Encoder) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Split an encoder into plain values for JSON, and tensors for the quantiles of all scales, in order.

    The tensors are the quantiles one after another, float64, and how many each scale has, int64 (n_scales,).
    """
    header = encoder.model_dump(mode="json")
    each = [scale.pop("quantiles") for scale in scales_in(header["columns"])]
    counts = [len(quantiles) for quantiles in each]
    joined = np.fromiter(chain.from_iterable(each), dtype=np.float64, count=sum(counts))
    return header, {QUANTILES: torch.from_numpy(joined), COUNTS: torch.tensor(counts, dtype=torch.int64)}


def join_encoder(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Encoder:
    """Rebuild the encoder that `split_encoder` split, with the same bits.

    Raises:
        ValueError: the parts do not belong together, or are those of no encoder.
    """
    scales = list(scales_in(header["columns"]))
    if not {QUANTILES, COUNTS} <= set(tensors) or len(tensors[COUNTS]) != len(scales):
        raise ValueError(f"it has no quantiles for its {len(scales)} scales; make it again")
    parts = np.split(tensors[QUANTILES].numpy(), np.cumsum(tensors[COUNTS].numpy())[:-1])
    for scale, quantiles in zip(scales, parts, strict=bool(scales)):
        scale["quantiles"] = tuple(quantiles.tolist())
    return Encoder.model_validate(header)


def read_encoder(path: Path) -> Encoder:
    """Read the file of an encoder, as `save_with_header` wrote its parts.

    Raises:
        ValueError: it is truncated, or holds no encoder.
    """
    try:
        header, tensors = read_with_header(path)
    except SafetensorError as error:
        raise ValueError(f"it is not a whole safetensors file ({error}); run the stage train again") from error
    return join_encoder(header or {"columns": []}, tensors)


def read_with_header(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `save_with_header` wrote: the header, empty if the file has none of ours, and the tensors, on the CPU.

    Raises:
        SafetensorError: it is not a whole safetensors file.
    """
    with safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def save_with_header(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a header of plain values as one safetensors file.

    Raises:
        ValueError: safetensors refuses the header for its size.
    """
    text = json.dumps(header)
    try:
        save_file(dict(tensors), path, metadata={HEADER: text})
    except SafetensorError as error:
        raise ValueError(
            f"what is not a tensor takes {len(text) / 1e6:.0f} MB, and safetensors allows 100 MB ({error}); "
            f"leave out columns, or raise encoding.min_level_count, so that there are fewer levels"
        ) from error


def scales_in(columns: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give the scales within the plain values of columns, which are those of numbers and of parts of dates."""
    for column in columns:
        if column["kind"] == "number":
            yield column
        elif column["kind"] == "date":
            yield from column["scales"]
