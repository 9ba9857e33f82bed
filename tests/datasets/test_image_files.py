"""Image files as cameras, phones and programs write them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from torchlane.datasets.image_files import ORIENTATION, read_image

UPRIGHT = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
STORED = {  # how the rows of an upright image are stored, by orientation (TIFF 6.0, section 8)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT.transpose(1, 0, 2)[::-1, ::-1],
    8: np.rot90(UPRIGHT, -1),
}


def written(pixels: np.ndarray | Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    image.save(file, form, **options)
    return file.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def pixels_of(content: bytes) -> np.ndarray:
    pixels, several = read_image(content)
    assert isinstance(pixels, np.ndarray), pixels
    assert not several
    return pixels


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
    ids=["PNG", "WebP", "TIFF", "TIFF by LZW", "TIFF by deflate"],
)
def test_photo_is_upright_whatever_its_orientation(form, options, orientation):
    content = written(STORED[orientation], form, exif=oriented(orientation), **options)
    np.testing.assert_array_equal(pixels_of(content), UPRIGHT)


@pytest.mark.parametrize("orientation", STORED)
def test_jpeg_is_upright_and_has_the_pixels_that_it_stores(orientation):
    stored = np.kron(STORED[orientation][::8, ::8], np.ones((16, 16, 1), np.uint8))  # whole blocks, which JPEG keeps
    plain = pixels_of(written(stored, "JPEG", quality=100, subsampling=0))
    turned = pixels_of(written(stored, "JPEG", quality=100, subsampling=0, exif=oriented(orientation)))
    expected = {2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1], 6: np.rot90(plain, -1), 8: np.rot90(plain)}
    expected |= {1: plain, 5: plain.transpose(1, 0, 2), 7: plain.transpose(1, 0, 2)[::-1, ::-1]}
    np.testing.assert_array_equal(turned, expected[orientation])


def test_orientation_turns_grey_images_and_palettes_too_and_moves_what_is_transparent():
    grey = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
    for image in (grey, grey.convert("P"), grey.convert("1"), grey.convert("LA"), grey.convert("RGBA")):
        plain, turned = (pixels_of(written(image, "PNG", exif=oriented(value))) for value in (1, 6))
        np.testing.assert_array_equal(turned, np.rot90(plain, -1), err_msg=image.mode)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00damaged", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"", b"\x00"])
def test_damaged_notes_on_an_image_leave_it_as_it_is_stored(exif):
    np.testing.assert_array_equal(pixels_of(written(UPRIGHT, "PNG", exif=exif)), UPRIGHT)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientation_that_is_none_leaves_the_image_as_it_is_stored(value):
    np.testing.assert_array_equal(pixels_of(written(UPRIGHT, "PNG", exif=oriented(value))), UPRIGHT)


def test_colours_under_full_transparency_have_no_effect_and_lie_on_white():
    alpha = np.where(np.arange(24) < 12, 255, 0).astype(np.uint8) * np.ones((16, 1), np.uint8)
    other = UPRIGHT.copy()
    other[:, 12:] = 77
    seen = [pixels_of(written(np.dstack([each, alpha]), "PNG")) for each in (UPRIGHT, other)]
    np.testing.assert_array_equal(*seen)
    np.testing.assert_array_equal(seen[0][:, :12], UPRIGHT[:, :12])
    assert (seen[0][:, 12:] == 255).all()


def test_transparency_is_heeded_however_a_format_states_it():
    dark = Image.new("L", (4, 4), 9)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    contents = [
        written(Image.merge("LA", [dark, Image.new("L", (4, 4), 0)]), "PNG"),
        written(dark, "PNG", transparency=9),
        written(dark.convert("RGB"), "PNG", transparency=(9, 9, 9)),
        written(palette, "PNG", transparency=1),
        written(palette, "GIF", transparency=1),
        written(Image.new("RGBA", (4, 4), (9, 9, 9, 0)), "WEBP", lossless=True, exact=True),
    ]
    for number, content in enumerate(contents):
        assert (pixels_of(content) == 255).all(), number
    assert pixels_of(contents[0]).shape == (4, 4)  # grey stays grey


@given(st.integers(0, 255), st.integers(0, 255))
def test_translucent_grey_is_mixed_with_white_and_opaque_grey_stays(value, alpha):
    content = written(Image.new("LA", (1, 1), (value, alpha)), "PNG")
    assert abs(int(pixels_of(content)[0, 0]) - (value * alpha + 255 * (255 - alpha)) / 255) < 1
    assert pixels_of(written(Image.new("LA", (1, 1), (value, 255)), "PNG"))[0, 0] == value


def test_first_frame_of_an_animation_is_used_and_this_is_said():
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    for form in ("GIF", "TIFF", "WEBP", "PNG"):
        options = {"lossless": True} if form == "WEBP" else {}
        pixels, several = read_image(written(frames[0], form, save_all=True, append_images=frames[1:], **options))
        assert several and (pixels == 10).all(), form
    photo = written(UPRIGHT, "MPO", save_all=True, append_images=[Image.fromarray(UPRIGHT[:8, :8])])
    assert pixels_of(photo).shape == UPRIGHT.shape  # a phone's photo with its preview


def test_sixteen_bits_are_refused_with_the_reason():
    deep = Image.fromarray(np.full((4, 4), 40000, np.uint16))
    pixels, _ = read_image(written(deep, "PNG"))
    assert pixels == "pixels of mode I;16, and not of 8 bits in grey or colour"


def test_drawing_is_refused_and_no_other_program_is_started(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("another program"))
    pixels, _ = read_image(written(UPRIGHT, "EPS"))
    assert pixels == "a drawing in EPS, which another program would have to turn into pixels"


@pytest.mark.parametrize(
    ("most", "reason"), [(300, "16 x 24 pixels, more than the 300 of one image"), (10, "exceeds limit")]
)
def test_image_with_too_many_pixels_is_refused_with_the_reason_and_no_warning(monkeypatch, recwarn, most, reason):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    pixels, _ = read_image(written(UPRIGHT, "PNG"))
    assert isinstance(pixels, str) and reason in pixels
    assert not recwarn.list


def test_image_that_only_claims_to_be_large_is_refused_before_it_is_decoded():
    content = bytearray(written(np.zeros((1, 1), np.uint8), "BMP"))
    content[18:26] = (60_000).to_bytes(4, "little") + (60_000).to_bytes(4, "little")
    pixels, _ = read_image(bytes(content))
    assert isinstance(pixels, str) and "3600000000 pixels" in pixels


@pytest.mark.parametrize("error", [MemoryError(), IndexError("list index"), NotImplementedError("kind 7"), KeyError(3)])
def test_whatever_a_decoder_raises_becomes_the_reason(monkeypatch, error):
    def fail(*_):
        raise error

    content = written(UPRIGHT, "PNG")
    monkeypatch.setattr(Image.Image, "convert", fail)
    assert read_image(content) == (str(error) or "MemoryError", False)


@given(st.data())
def test_file_that_was_cut_off_or_changed_anywhere_gives_pixels_or_a_reason(data):
    form = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF"]))
    content = bytearray(written(UPRIGHT, form))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    pixels, _ = read_image(bytes(content))
    assert isinstance(pixels, np.ndarray) or pixels


def test_what_is_no_image_has_a_reason():
    assert read_image(b"") == ("no image", False)
    assert read_image(b"notes on the photos") == ("no image", False)
    assert isinstance(read_image(written(UPRIGHT, "PNG")[:200])[0], str)
