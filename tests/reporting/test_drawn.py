import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.graph_objects import Figure, Histogram, Scatter

from torchlane.figures.style import escaped, finish, panels, words
from torchlane.reporting.drawn import MOST_BYTES, draw, draw_all


def test_title_becomes_text_of_the_page_without_the_source():
    note = "the weights of epoch 25 are kept, which is the best of all that were tried in this training"
    drawn = draw("history", finish(Figure(Scatter(x=[1], y=[2])), "Training: loss and r2_score", "a, b; data: c", note))
    assert drawn.heading == "Training: loss and R²"
    assert drawn.notes == (f"T{note[1:]}.",)
    assert (drawn.section, "title" in json.loads(drawn.json)["layout"]) == ("training", False)


def test_metrics_are_named_as_people_say_them_and_columns_as_they_are():
    figure = finish(panels(["drop of r2_score"]), "What r2_score tells", "sales", "on test, where r2_score is 0.8")
    drawn = draw("feature_importances", figure)
    assert (drawn.heading, drawn.notes) == ("What R² tells", ("On test, where R² is 0.8.",))
    assert json.loads(drawn.json)["layout"]["annotations"][0]["text"] == "drop of R²"
    assert draw("pairs", figure).heading == "What r2_score tells"


@given(st.text(max_size=30))
def test_text_of_any_kind_is_the_same_after_the_page_and_holds_no_markup(text):
    drawn = draw("predictions", Figure(Scatter(x=[1], y=[1], text=[text], name=escaped(text))))
    assert json.loads(drawn.json)["data"][0]["text"] == [text]
    assert not set("<>&\u2028\u2029") & set(drawn.json)


def test_numbers_keep_the_digits_that_a_screen_can_show_and_what_is_no_number_becomes_null():
    values = np.array([1 / 3, 1_234_567.125, np.nan, np.inf])
    drawn = json.loads(draw("predictions", Figure(Scatter(y=values, x=np.arange(4)))).json)
    assert drawn["data"][0]["y"] == [0.33333333, 1234567.1, None, None]
    assert drawn["data"][0]["x"] == [0, 1, 2, 3]


def test_points_are_thinned_together_with_their_text_and_lines_stay_whole():
    many = np.arange(20_000)
    points = Scatter(x=many, y=many, text=[str(each) for each in many], mode="markers")
    line = Scatter(x=[0, 20_000], y=[0, 20_000], mode="lines")
    drawn = draw("predictions", Figure([points, line]))
    assert len(drawn.json) <= MOST_BYTES
    thinned, whole = json.loads(drawn.json)["data"]
    assert thinned["text"] == [str(each) for each in thinned["x"]]
    assert len(thinned["x"]) > 200
    assert np.unique(np.diff(thinned["x"])).size == 1
    assert whole["x"] == [0, 20_000]


def test_figure_that_is_too_large_and_has_no_points_says_so_if_the_page_would_be_too_large():
    large = Figure(Histogram(x=np.random.default_rng(0).random(150_000)))
    drawn = draw_all({"distributions": large, "history": Figure(Scatter(y=[1, 2]))})
    assert (drawn[0].json, drawn[0].notes[0][:21]) == ("", "This figure is too la")
    assert drawn[1].json


def test_words_are_shown_instead_of_axes():
    drawn = draw("search", words("Nothing was searched: tuning.trials is 0.", "Search"))
    assert (drawn.json, drawn.heading, drawn.notes) == ("", "Search", ("Nothing was searched: tuning.trials is 0.",))


@pytest.mark.parametrize(("domains", "width"), [([(0, 1)], 0), ([(0, 0.4), (0.6, 1)], 520), ([(0, 1), (0, 1)], 0)])
def test_panels_that_stand_beside_each_other_keep_a_width_that_can_be_read(domains, width):
    layout = {f"xaxis{number or ''}": {"domain": domain} for number, domain in enumerate(domains)}
    figure = Figure(Scatter(y=[1]), layout={name.replace("xaxis1", "xaxis2"): each for name, each in layout.items()})
    assert draw("layers", figure).width == width
