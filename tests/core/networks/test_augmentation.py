import math

import pytest
import torch

from torchlane.core.networks.augmentation import Augmentation
from torchlane.core.options import AugmentationOptions


def augment(images: torch.Tensor, monkeypatch=None, draw: float | None = None, **options: float) -> torch.Tensor:
    """Augment with numbers drawn at random, or with the same one everywhere."""
    if draw is not None:
        monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, draw))
    torch.manual_seed(0)
    return Augmentation(AugmentationOptions.model_validate(options))(images)


@pytest.fixture
def dot() -> torch.Tensor:
    """One image, 8 x 16, with one bright pixel in row 1, column 4."""
    images = torch.zeros(1, 1, 8, 16, dtype=torch.uint8)
    images[0, 0, 1, 4] = 200
    return images


def test_shift_moves_by_whole_pixels_in_both_directions(monkeypatch, dot):
    moved = augment(dot, monkeypatch, draw=0.0, shift=0.25)  # by a quarter of each side, right and down
    expected = torch.zeros(8, 16)
    expected[1 + 2, 4 + 4] = 200
    torch.testing.assert_close(moved[0, 0], expected, atol=1e-3, rtol=0)


def test_rotation_by_90_degrees_turns_about_the_middle_also_of_a_flat_image(monkeypatch, dot):
    turned = augment(dot, monkeypatch, draw=1.0, rotation=90)[0, 0]
    # (row, column) from the middle: (-2.5, -3.5) turns to (3.5, -2.5) or (-3.5, 2.5)
    row, column = divmod(int(turned.argmax()), 16)
    assert (row - 3.5, column - 7.5) in {(3.5, -2.5), (-3.5, 2.5)}
    assert float(turned.max()) == pytest.approx(200, abs=0.1)


def test_scale_enlarges_and_shrinks(monkeypatch):
    square = torch.zeros(1, 1, 16, 16)
    square[:, :, 4:12, 4:12] = 1
    assert float(augment(square, monkeypatch, draw=1.0, scale=0.5).sum()) == pytest.approx(64 * 1.5**2, rel=0.05)


def test_shear_slants_and_keeps_the_area(monkeypatch):
    square = torch.zeros(1, 1, 32, 32)
    square[:, :, 12:20, 12:20] = 1
    slanted = augment(square, monkeypatch, draw=1.0, shear=45)
    assert float(slanted.sum()) == pytest.approx(64, rel=0.05)
    upper, lower = (slanted[0, 0, rows].sum(0) @ torch.arange(32.0) for rows in (slice(0, 16), slice(16, 32)))
    assert abs(float(upper - lower)) / 32 == pytest.approx(math.tan(math.radians(45)) * 4, rel=0.1)


def test_erasing_blackens_one_rectangle_of_some_images():
    images = torch.full((400, 3, 20, 20), 9, dtype=torch.uint8)
    black = augment(images, erasing=0.5) == 0
    assert (black.all(1) == black.any(1)).all()  # all channels alike
    areas = black[:, 0].flatten(1).float().mean(1)
    assert 0.4 < float((areas > 0).float().mean()) < 0.6
    assert 0.3 > float(areas[areas > 0].max()) > float(areas[areas > 0].min()) > 0.005
    for each in black[areas > 0][:20, 0]:
        rows, columns = each.any(1), each.any(0)
        assert torch.equal(each, rows[:, None] & columns[None, :])


def test_each_image_moves_on_its_own_and_the_seed_repeats_it():
    images = torch.rand(1, 1, 12, 12).expand(5, -1, -1, -1) * 255
    first, again = (augment(images, shift=0.2, rotation=20, scale=0.2, shear=10) for _ in range(2))
    assert torch.equal(first, again)
    assert len({tuple(each.flatten().tolist()) for each in first}) == 5


def test_nothing_moves_in_eval_mode_and_no_number_is_drawn():
    augmentation = Augmentation(AugmentationOptions(shift=0.5, rotation=180, erasing=1)).eval()
    images = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    before = torch.get_rng_state()
    assert torch.equal(augmentation(images), images)
    assert torch.equal(torch.get_rng_state(), before)
