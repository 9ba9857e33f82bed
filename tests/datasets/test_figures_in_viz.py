"""Kedro-Viz gives a figure 64 pixels for its title and about 480 for its panels."""

import pytest
from plotly.graph_objects import Bar

from torchlane.datasets.figures_in_viz import fit_into_viz
from torchlane.figures.style import finish, panels


def drawn(count):
    figure = panels([f"panel {number}" for number in range(count)])
    for row in range(1, count + 1):
        figure.add_trace(Bar(x=[1], y=[1]), row=row, col=1)
    return fit_into_viz(finish(figure, "A title " * 8, "a source", "a note " * 30).to_plotly_json())["layout"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 12])
def test_panels_neither_overlap_nor_become_too_low_to_read(count):
    layout = drawn(count)
    places = []
    for number in range(1, count + 1):
        name = f"axis{number if number > 1 else ''}"
        places.append((*layout[f"x{name}"]["domain"], *layout[f"y{name}"]["domain"]))
    assert all(0 <= low < high <= 1 for left, right, low, high in places for low, high in ((left, right), (low, high)))
    assert min(top - bottom for *_, bottom, top in places) > 0.2
    for number, (left, right, bottom, top) in enumerate(places):
        for other_left, other_right, other_bottom, other_top in places[:number]:
            assert right <= other_left or other_right <= left or top <= other_bottom or other_top <= bottom
    titles = {note["text"]: (note["x"], note["y"]) for note in layout["annotations"]}
    assert titles == {f"panel {number}": (place[0], place[3]) for number, place in enumerate(places)}


def test_title_has_two_lines_with_all_its_words():
    text = drawn(1)["title"]["text"]
    assert text.count("<br>") == 1 and text.count("A title") == 8 and text.count("a note") == 30


def test_labels_that_a_figure_hides_stay_hidden():
    figure = panels(["one"]).add_trace(Bar(x=[1], y=[1])).update_yaxes(showticklabels=False)
    assert fit_into_viz(figure.to_plotly_json())["layout"]["yaxis"]["tickvals"] == []
