"""What Kedro-Viz shows of a dataset.

Kedro-Viz catches what a preview raises, but not what it then cannot write as JSON: one such value ends
`kedro viz build` for the whole project. So previews are made of plain values here, and of a bounded number of them.
"""

import base64
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NewType

import numpy as np
import pandas as pd
from kedro_datasets._typing import ImagePreview, JSONPreview, TablePreview

TextPreview = NewType("TextPreview", str)  # Kedro-Viz takes the kind from the name, and knows text too
COLUMNS = 50  # of a table
CHARACTERS = 200  # of a value
TEXT = 20_000  # characters of a whole text
DIGITS = 6  # of a number with a fraction
ENTRIES = 100  # of a list or a mapping in JSON
EXACT = 2**53  # whole numbers up to here are exact in a browser
SIDE, GAP, CAPTION, IN_A_LINE = 80, 3, 14, 5  # pixels of a place, between images, and of the text under one; images
CAPTION_CHARACTERS = 14


def preview_table(table: Mapping[str, Any]) -> TablePreview:
    """Show rows, given as by `DataFrame.to_dict(orient="split")`; of more than `COLUMNS` columns the first ones."""
    n_more = max(0, len(table["columns"]) - COLUMNS)
    columns = [str(plain(name)) for name in table["columns"][:COLUMNS]]
    rows = [[_cell(value) for value in row[:COLUMNS]] for row in table["data"]]
    if n_more:
        columns.append(f"… and {n_more:,} more")
        rows = [[*row, ""] for row in rows]
    return TablePreview({"index": [_cell(each) for each in table["index"]], "columns": columns, "data": rows})


def preview_json(value: Any) -> JSONPreview:
    """Show nested values; of more than `ENTRIES` in one place the first ones."""
    return JSONPreview(json.dumps(plain(value, ENTRIES)))


def preview_text(text: str) -> TextPreview:
    """Show text as it stands, up to some length."""
    kept = plain(text)
    return TextPreview(kept if len(kept) <= TEXT else f"{kept[:TEXT]} …")


def preview_images(images: Iterable[np.ndarray], captions: Sequence[str]) -> ImagePreview:
    """Show images, uint8 (height, width) or (height, width, 3), in lines of a few, each over its caption."""
    from PIL import Image, ImageDraw

    shown = [_fitted(image) for image in images]
    n_lines = max(1, math.ceil(len(shown) / IN_A_LINE))
    sheet = Image.new("RGB", (SIDE * IN_A_LINE, (SIDE + CAPTION) * n_lines), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (image, caption) in enumerate(zip(shown, captions, strict=True)):
        line, place = divmod(number, IN_A_LINE)
        corner = place * SIDE, line * (SIDE + CAPTION)
        sheet.paste(image, corner)
        draw.text((corner[0] + 1, corner[1] + SIDE), _in_ascii(caption), fill="black")
    written = io.BytesIO()
    sheet.save(written, format="PNG")
    return ImagePreview(base64.b64encode(written.getvalue()).decode("ascii"))


def seen(image: np.ndarray) -> np.ndarray:
    """Turn uint8 (channels, height, width) into (height, width, 3), or (height, width) of the first channel."""
    return image.transpose(1, 2, 0) if len(image) == 3 else image[0]


def plain(value: Any, most: int | None = None) -> Any:
    """Turn a value into what JSON and a browser can hold: null for what is missing or not finite, else text if need be.

    With `most`, only so many entries of each list and mapping are kept, texts are cut, and fractions are rounded.
    """
    if isinstance(value, Mapping):
        kept = {str(plain(key)): plain(each, most) for key, each in list(value.items())[:most]}
        return kept | ({"…": f"{len(value) - most:,} more"} if most and len(value) > most else {})
    if isinstance(value, (list, tuple)):
        kept_list = [plain(each, most) for each in value[:most]]
        return kept_list + ([f"… {len(value) - most:,} more"] if most and len(value) > most else [])
    if isinstance(value, np.generic) and not isinstance(value, (np.datetime64, np.timedelta64)):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT else str(value)
    if isinstance(value, float):
        return (value if most is None else _rounded(value)) if math.isfinite(value) else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value):,} bytes"
    text = str(value).encode(errors="backslashreplace").decode()  # lone surrogates are no text
    return text if most is None or len(text) <= CHARACTERS else f"{text[:CHARACTERS]} …"


def _rounded(value: float) -> float:
    """Keep the first digits of a number; those before the point all stay."""
    return round(value, max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))) if value else value


def _cell(value: Any) -> Any:
    """Write a cell: a plain value, or a nested one as text; infinity by its name."""
    if isinstance(value, (Mapping, list, tuple)):
        value = json.dumps(plain(value, ENTRIES), ensure_ascii=False)
    elif isinstance(value, (float, np.floating)) and np.isinf(value):
        value = str(value)
    return plain(value, ENTRIES)


def _fitted(pixels: np.ndarray) -> Any:
    """Scale an image to the place that it has, in its proportions; small ones keep their pixels as squares."""
    from PIL import Image

    image = Image.fromarray(pixels)
    factor = (SIDE - GAP) / max(image.size)
    width, height = (max(1, round(each * factor)) for each in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX)


def _in_ascii(text: str) -> str:
    return text[:CAPTION_CHARACTERS].replace("\n", " ").encode("ascii", "replace").decode()
