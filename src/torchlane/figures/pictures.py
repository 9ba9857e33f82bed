"""Sheets of small pictures."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from plotly.graph_objects import Figure, Image, Scatter

from torchlane.figures.style import escaped, finish, shortened, words

LARGEST = 64  # pixels of a side; a larger picture is made smaller
GAP = 0.15  # between pictures, as a share of a side
LINE = 0.3  # height of a line under a picture, as a share of a side
WIDTH = 440  # pixels of a sheet on a wide screen, which is little more than a narrow one has
LONGEST = 11  # letters of a line
AROUND = 130  # pixels above and below the sheet
NEGATIVE, POSITIVE = (0, 114, 178), (213, 94, 0)  # blue and vermilion of Okabe and Ito


def sheet(
    pictures: Sequence[np.ndarray], columns: int, captions: Sequence[Sequence[str]], hover: Sequence[str]
) -> Figure:
    """Put pictures, each uint8 (height, width, 3), side by side in rows, with lines of text under each.

    `captions` and `hover` are plain text; `captions` is empty, or has the same number of lines for each picture.
    """
    n_lines = max(map(len, captions), default=0)
    step = 1 + GAP + LINE * n_lines
    figure = Figure()
    for number, (picture, told) in enumerate(zip(pictures, hover, strict=True)):
        row, column = divmod(number, columns)
        height, width = picture.shape[:2]
        left, top, longest = column * (1 + GAP), row * step, max(height, width)
        size = {"dx": 1 / longest, "dy": 1 / longest}
        start = {"x0": left + 0.5 / longest, "y0": top + 0.5 / longest}
        text = escaped(told)
        figure.add_trace(Image(source=_png(picture), **size, **start, hovertemplate=f"{text}<extra></extra>"))
    if n_lines:
        figure.add_trace(_captions(captions, columns, step))
    n_rows = -(-len(pictures) // columns)
    none = {"visible": False, "showgrid": False, "zeroline": False, "constrain": "domain"}
    figure.update_xaxes(range=[0, columns * (1 + GAP)], constraintoward="left", **none)
    figure.update_yaxes(range=[n_rows * step, 0], constraintoward="top", scaleanchor="x", **none)
    return figure.update_layout(height=AROUND + int(n_rows * step * WIDTH / columns))


def _captions(captions: Sequence[Sequence[str]], columns: int, step: float) -> Scatter:
    places = [divmod(number, columns) for number in range(len(captions))]
    return Scatter(
        x=[column * (1 + GAP) + 0.5 for _, column in places],
        y=[row * step + 1 + LINE * len(captions[0]) / 2 for row, _ in places],
        mode="text",
        text=["<br>".join(shortened(line, LONGEST) for line in lines) for lines in captions],
        textposition="middle center",
        textfont_size=11,
        hoverinfo="skip",
        showlegend=False,
    )


def _png(picture: np.ndarray) -> str:
    """Write a picture as the URI of a PNG, which keeps a figure small; a large one is made smaller."""
    from PIL import Image as Pillow

    image = Pillow.fromarray(picture)
    image.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def seen(images: np.ndarray) -> list[np.ndarray]:
    """Turn images uint8 (n, channels, height, width) into pictures (height, width, 3).

    Three channels are red, green and blue; of any other number, the mean is grey.
    """
    if images.shape[1] != 3:
        images = np.repeat(images.mean(axis=1, keepdims=True).round().astype(np.uint8), 3, axis=1)
    return list(images.transpose(0, 2, 3, 1))


def weighed(filters: np.ndarray) -> list[np.ndarray]:
    """Turn weights float (n, channels, height, width) into pictures: white is 0, blue negative, red positive.

    Each filter has its own scale. Weights of three channels are colours, around grey; of any other number, the mean
    is shown.
    """
    limits = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    shares = np.divide(filters, limits, out=np.zeros_like(filters), where=limits > 0)  # -1 to 1
    if filters.shape[1] == 3:
        return seen(((shares + 1) * 127.5).round().astype(np.uint8))
    shares = shares.mean(axis=1)[..., None]
    ends = np.where(shares < 0, NEGATIVE, POSITIVE)
    return list((255 + np.abs(shares) * (ends - 255)).round().astype(np.uint8))


def plot_augmentation(images: np.ndarray | None, source: str) -> Figure:
    """Draw images beside random distortions of them; `images` is uint8 (n, 1 + copies, channels, height, width)."""
    title = "Images as training sees them"
    if images is None:
        return words("Training distorts no images: training.augmentation is not set.", title, source)
    n_images, n_each = images.shape[:2]
    hover = ["as it is", *(f"distortion {number}" for number in range(1, n_each))] * n_images
    figure = sheet(seen(images.reshape(-1, *images.shape[2:])), n_each, [], hover)
    return finish(figure, title, source, "left: as they are; beside: random distortions, new in every epoch")


def plot_filters(filters: np.ndarray | None, source: str) -> Figure:
    """Draw the weights of a first layer, float (filters, channels, height, width), as pictures."""
    title = "Filters of the first layer"
    if filters is None:
        return words("The network has no first layer of filters over pixels.", title, source)
    hover = [f"filter {number}: {each.min():.2g} to {each.max():.2g}" for number, each in enumerate(filters, start=1)]
    figure = sheet(weighed(filters), min(8, len(filters)), [], hover)
    colours = (
        "colours: the weights of red, green and blue" if filters.shape[1] == 3 else "blue: negative; red: positive"
    )
    return finish(figure, title, source, f"the first member; {colours}; each on its own scale")
