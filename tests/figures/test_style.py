import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.graph_objects import Figure, Scatter

from torchlane.figures.style import GRID, escaped, finish, is_words, label_axis, panels, source_unweighted, words

MARKUP = "<b onclick='x()'>R&D</b> %{y} $x$ &lt;"


@given(st.text() | st.just(MARKUP))
def test_escaped_text_holds_nothing_that_plotly_reads_and_shows_what_was_typed(text):
    shown = escaped(text)
    assert not {"<", ">", "$"} & {*shown}
    assert "%{" not in shown
    assert html.unescape(shown) == text


def test_every_axis_of_every_panel_has_the_gridlines_of_both_themes_and_room_for_its_labels():
    figure = panels(["one", "two", "three"])
    for row in (1, 2, 3):
        figure.add_trace(Scatter(x=[1], y=[1]), row=row, col=1)
    layout = finish(figure, "t", "x").layout
    axes = [layout[f"{letter}axis{number}"] for letter in "xy" for number in ("", 2, 3)]
    assert {(axis.gridcolor, axis.automargin) for axis in axes} == {(GRID, True)}
    single = finish(Figure(Scatter(x=[1], y=[1])), "t", "x").layout
    assert single.xaxis.gridcolor == single.yaxis.gridcolor == GRID


def test_figures_have_no_background_and_no_colour_of_text_of_their_own():
    layout = finish(Figure(), "t", "x").to_plotly_json()["layout"]
    assert {layout["paper_bgcolor"], layout["plot_bgcolor"]} == {"rgba(0,0,0,0)"}
    assert '"color"' not in json.dumps([layout[key] for key in layout if key != "template"] + [layout["template"]])


def test_panels_stand_below_each_other_with_room_for_titles_and_labels():
    figure = panels(["a <b>", "b", "c"], height=[100, 50, 100], below=[30, 60, 30])
    inner = figure.layout.height - 160
    ends = [figure.layout[name].domain for name in ("yaxis", "yaxis2", "yaxis3")]
    pixels = [(round((1 - high) * inner), round((1 - low) * inner)) for low, high in ends]
    assert pixels == [(26, 126), (182, 232), (318, 418)]
    assert [title.text for title in figure.layout.annotations] == ["a &lt;b&gt;", "b", "c"]


def test_long_titles_are_broken_where_a_narrow_screen_ends_and_get_room():
    few, many = (finish(Figure(), "word " * count, "x").layout for count in (2, 30))
    assert max(map(len, many.title.text.split("<br>")[:-1])) <= 42
    assert many.margin.t > few.margin.t


def test_labels_that_begin_alike_keep_places_of_their_own_and_of_many_some_are_named():
    axis = label_axis(["a" * 30 + "1", "a" * 30 + "2"])
    assert (axis["tickvals"], axis["range"]) == ([0, 1], [-0.5, 1.5])
    assert axis["ticktext"] == ["a" * 23 + "…"] * 2
    many = label_axis(range(100), downwards=True)
    assert len(many["tickvals"]) <= 30
    assert many["ticktext"][1] == str(many["tickvals"][1])
    assert many["range"] == [99.5, -0.5]


def test_words_stand_without_axes_and_are_known_from_the_stored_figure():
    figure = words("Nothing of <b> was searched.", "Search", "x")
    assert is_words(figure)
    assert is_words(json.loads(figure.to_json()))
    assert figure.layout.meta["words"] == "Nothing of <b> was searched."
    assert "&lt;b&gt;" in figure.layout.annotations[0].text
    assert not figure.data
    assert not any(axis.visible for axis in (figure.layout.xaxis, figure.layout.yaxis))
    assert not is_words(finish(Figure(), "t", "x"))
    assert not is_words({"data": []})


@pytest.mark.parametrize(("weight", "told"), [({}, "t.csv"), ({"weight": "w"}, "t.csv, each row counted once")])
def test_source_of_figures_that_count_each_row_once_says_so_where_metrics_weigh_them(weight, told):
    assert source_unweighted({"data": "t.csv", **weight}) == told
