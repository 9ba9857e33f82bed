"""One image file to pixels, as viewers show it."""

import io
import warnings
from typing import Any

import numpy as np

MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
ORIENTATION = 0x0112  # the tag of Exif
TURNS = {  # what brings an image upright, by its orientation; 1 is upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
DRAWINGS = ("EPS", "WMF")
OF_ONE_PICTURE = ("MPO", "PSD")  # formats whose further frames are previews or layers of the first


def read_image(content: bytes) -> tuple[np.ndarray | str, bool]:
    """Read an image, and say whether it has further frames, which are left out.

    The image is uint8 (height, width), or (height, width, 3) in colour. It is upright as its Exif orientation
    says, and what is transparent lies on white. If the file cannot be read, the reason stands in its place.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # it would not name the file
            image = Image.open(io.BytesIO(content))
        with image:
            if image.format in DRAWINGS:
                return f"a drawing in {image.format}, which another program would have to turn into pixels", False
            if image.mode not in MODES:
                return f"pixels of mode {image.mode}, and not of 8 bits in grey or colour", False
            most = Image.MAX_IMAGE_PIXELS
            if most and image.width * image.height > most:
                return f"{image.height} x {image.width} pixels, more than the {most:,} of one image", False
            image.load()
            frames = image.format not in OF_ONE_PICTURE and _is_animated(image)
            return np.asarray(_on_white(_upright(image), MODES[image.mode])), frames
    except UnidentifiedImageError:
        return "no image", False
    except Exception as error:  # of a decoder, which raises what it likes for a file that is damaged or too large
        return first_line(error), False


def first_line(error: Exception) -> str:
    """Give the first line of the text of an error, or its type if there is none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _upright(image: Any) -> Any:
    from PIL import Image

    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(Image.Transpose[turn])


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # viewers too pass over notes on an image that are damaged
        return 1


def _is_animated(image: Any) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # the second frame is damaged; the first was read
        return True


def _on_white(image: Any, mode: str) -> Any:
    """Convert an image, so that colours under full transparency have no effect."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert(mode)
    above = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert(mode)
