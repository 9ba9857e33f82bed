import numpy as np
import pandas as pd

from tests.figures.titles import title_of
from torchlane.figures.distributions import plot_distributions
from torchlane.figures.pairs import plot_pairs
from torchlane.figures.style import COLOURS, is_words

PRICE = {
    "kind": "number",
    "unit": "€",
    "edges": [0, 5, 10],
    "parts": {"train": [0.25, 0.75], "valid": [0, 0], "test": [1, 0]},
}
PLACE = {
    "kind": "category",
    "unit": None,
    "levels": ["<b>", "y"],
    "others": 3,
    "parts": {"train": [0.5, 0.25, 0.25], "test": [1, 0, 0]},
}


def test_each_part_has_its_shares_of_bins_and_levels_and_a_part_of_no_rows_none():
    figure = plot_distributions({"distributions": {"place": PLACE, "price": PRICE}}, "price", ["place"], "x")
    numbers, levels = figure.data[:2], figure.data[2:]
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in numbers] == [
        ("train", [0, 5, 10], [0.25, 0.75, 0.75]),
        ("test", [0, 5, 10], [1, 0, 0]),
    ]
    assert [(trace.name, list(trace.y)) for trace in levels] == [("train", [0.5, 0.25, 0.25]), ("test", [1, 0, 0])]
    assert (
        [trace.line.color for trace in numbers]
        == [trace.marker.color for trace in levels]
        == [COLOURS["train"], COLOURS["test"]]
    )
    assert [trace.showlegend for trace in figure.data] == [True, True, False, False]
    assert list(figure.layout.xaxis2.ticktext) == ["&lt;b&gt;", "y", "3 others"]
    assert figure.layout.xaxis.title.text == "€"
    assert [title.text for title in figure.layout.annotations] == ["price", "place"]


def test_of_thousand_features_the_target_and_the_eleven_strongest_are_drawn():
    known = {f"f{place}": PRICE for place in range(1_000)} | {"price": PRICE}
    order = [f"f{place}" for place in range(999, -1, -1)]
    figure = plot_distributions({"distributions": known}, "price", order, "x")
    assert [title.text for title in figure.layout.annotations] == ["price", *order[:11]]
    assert "989 weaker columns are left out" in title_of(figure)


def test_number_that_is_always_the_same_is_one_bar_and_dates_have_an_axis_of_dates():
    constant = {"kind": "number", "edges": [3.0, 3.0], "parts": {"train": [1.0]}}
    dates = {
        "kind": "date",
        "edges": ["2024-01-01T00:00:00+00:00", "2024-02-01T00:00:00+00:00"],
        "parts": {"train": [1.0]},
    }
    figure = plot_distributions({"distributions": {"a": constant, "b": dates}}, "a", [], "x")
    assert (list(figure.data[0].y), list(figure.layout.xaxis.ticktext)) == ([1.0], ["3.0"])
    assert figure.layout.xaxis2.type == "date"


def test_no_column_to_draw_is_said():
    assert is_words(plot_distributions({"distributions": {}}, "label", [], "x"))


def rows(n_rows: int, **columns: object) -> pd.DataFrame:
    random = np.random.default_rng(0)
    numbers = {name: random.normal(size=n_rows) for name in "abcde"}
    return pd.DataFrame({"row": range(n_rows), **numbers, **columns})


def test_four_strongest_features_make_six_pairs_of_at_most_500_rows_coloured_by_target():
    table = rows(3_000, target=np.arange(3_000.0))
    figure = plot_pairs(table, [(name, "m" if name == "d" else None) for name in "dcbae"], "target", "x")
    assert len(figure.data) == 6
    chosen = np.linspace(0, 2_999, 500).round().astype(int)
    pairs = [("d", "c"), ("d", "b"), ("c", "b"), ("d", "a"), ("c", "a"), ("b", "a")]
    for trace, (x, y) in zip(figure.data, pairs, strict=True):
        assert np.array_equal(trace.x, table[x][chosen])
        assert np.array_equal(trace.y, table[y][chosen])
        assert np.array_equal(trace.marker.color, chosen)
    assert figure.layout.xaxis7.title.text == "d (m)"


def test_rows_of_each_label_have_a_colour_and_of_many_labels_the_rarer_share_grey():
    labels = [f"<b>{place % 9}" for place in range(18)] + ["<b>0"]
    figure = plot_pairs(rows(19, target=labels), [("a", None), ("b", None)], "target", "x")
    assert [trace.name for trace in figure.data] == ["other labels", *(f"&lt;b&gt;{place}" for place in range(6))]
    assert sum(len(trace.x) for trace in figure.data) == 19
    assert len({trace.marker.color for trace in figure.data}) == 7
    assert "<b>" not in figure.to_json()


def test_points_of_few_numbers_stand_apart_and_hover_tells_the_numbers():
    table = rows(60, target=1.0).assign(a=[0.0, 50.0, 100.0] * 20)
    (trace,) = plot_pairs(table, [("a", None), ("b", None)], "target", "x").data
    assert (np.abs(np.array(trace.x) - table["a"]) <= 12.5).all()
    assert len({*trace.x}) == 60
    assert [line[1] for line in trace.customdata] == ["0", "50", "100"] * 20
    assert np.array_equal(trace.y, table["b"])


def test_fewer_than_two_numbers_are_said():
    table = rows(5, target=1.0).assign(b=np.nan)
    assert is_words(plot_pairs(table, [("a", None)], "target", "x"))
    assert is_words(plot_pairs(table, [("a", None), ("b", None)], "target", "x"))


def test_labels_of_many_levels_stand_upright_so_that_a_browser_omits_none():
    levels = [f"level {number}" for number in range(20)]
    many = {**PLACE, "levels": levels, "parts": {"train": [0.05] * 20 + [0.0]}}
    figure = plot_distributions({"distributions": {"many": many, "place": PLACE}}, "many", [], "x")
    assert (figure.layout.xaxis.tickangle, len(figure.layout.xaxis.ticktext)) == (90, 21)
    assert figure.layout.xaxis2.tickangle == 0
