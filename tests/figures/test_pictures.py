import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.figures.titles import title_of
from torchlane.figures.mistakes import plot_mistakes
from torchlane.figures.pictures import plot_augmentation, plot_filters, seen, weighed
from torchlane.figures.style import is_words


def pixels(trace) -> np.ndarray:
    kind, _, data = trace.source.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pictures_have_the_pixels_of_the_images(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 4, 5), dtype=np.uint8)
    one, other = seen(images)
    assert one.shape == (4, 5, 3)
    expected = images[1].transpose(1, 2, 0) if channels == 3 else images[1].mean(axis=0).round()[..., None]
    assert (other == expected).all()


def test_weights_are_white_at_zero_and_darkest_at_the_largest_of_their_own_filter():
    (small, large), scale = weighed(np.array([[[[0.0, -1e-3]]], [[[5.0, -2.5]]]])), [0, 114, 178]
    assert small[0].tolist() == [[255, 255, 255], scale]
    assert large[0, 0].tolist() == [213, 94, 0]
    assert np.isfinite(weighed(np.zeros((1, 1, 2, 2)))[0]).all()


def test_mistaken_images_stand_with_truth_and_prediction():
    images = np.arange(2 * 9, dtype=np.uint8).reshape(2, 1, 3, 3)
    mistakes = pd.DataFrame({"row": [7, 3], "truth": ["<i>9", "1"], "prediction": ["4", "1"], "error": [0.9, 0.4]})
    figure = plot_mistakes(mistakes, images, True, "x", "label", None)
    one, other, captions = figure.data
    assert (pixels(one)[..., 0] == images[0, 0]).all()
    assert (pixels(other)[..., 0] == images[1, 0]).all()
    assert captions.text[0] == "is &lt;i&gt;9<br>said 4"
    assert "row 7" in one.hovertemplate
    assert "1 of these 2 have a wrong label" in title_of(figure)


def test_large_pictures_are_made_small():
    figure = plot_augmentation(np.zeros((1, 2, 3, 300, 150), dtype=np.uint8), "x")
    assert pixels(figure.data[0]).shape == (64, 32, 3)


def test_mistaken_numbers_are_lines_from_truth_to_prediction():
    mistakes = pd.DataFrame({"row": [7, 3], "truth": ["10.5", "1"], "prediction": ["2", "3"], "error": [8.5, 2.0]})
    links, truth, prediction = plot_mistakes(mistakes, None, False, "x", "price", "USD").data
    assert list(links.x) == [10.5, 2, None, 1, 3, None]
    assert (list(truth.x), list(prediction.x)) == ([10.5, 1], [2, 3])


def test_mistaken_labels_are_bars_of_the_probability_of_others():
    mistakes = pd.DataFrame({"row": [7], "truth": ["a"], "prediction": ["b"], "error": [0.9]})
    bars, names = plot_mistakes(mistakes, None, True, "x", "kind", None).data
    assert (list(bars.x), names.text) == ([0.9], ("row 7: is a, said b",))


def test_nothing_to_show_is_told_in_words():
    none = pd.DataFrame({"row": [], "truth": [], "prediction": [], "error": []})
    for figure in (
        plot_augmentation(None, "x"),
        plot_filters(None, "x"),
        plot_mistakes(none, None, True, "x", "y", None),
    ):
        assert is_words(figure)
