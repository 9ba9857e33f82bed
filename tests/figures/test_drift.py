import numpy as np

from tests.figures.titles import title_of
from torchlane.figures.drift import MOST_COLUMNS, plot_drift
from torchlane.figures.style import is_words


def drift(names: list[str], columns: list[dict[str, float]]) -> dict:
    files = [
        {"file": name, "ended": "2026-01-01T00:00:00", "prediction": {"psi": 0.125, "chance": 0.025},
         "columns": {column: {"psi": psi, "chance": 0.01} for column, psi in of_file.items()}}
        for name, of_file in zip(names, columns, strict=True)
    ]  # fmt: skip
    return {"limits": {"max_psi": 0.25}, "files": files}


def test_largest_index_of_each_file_is_a_line_beside_the_limit_and_chance_is_subtracted():
    names = ["2026-01_monthly export.csv", "2026-02_monthly export.csv"]
    figure = plot_drift(drift(names, [{"age": 0.11, "town": 0.21}, {"age": 0.31, "town": 0.0}]))
    largest, predictions, limit, cells = figure.data
    assert list(largest.y) == [0.2, 0.3]
    assert largest.text[1].endswith("<br>age")
    assert list(predictions.y) == [0.1, 0.1]
    assert list(limit.y) == [0.25, 0.25]
    assert [list(row) for row in cells.z] == [[0.1, 0.1], [0.1, 0.3], [0.2, 0.0]]
    assert list(figure.layout.yaxis2.ticktext) == ["predictions", "age", "town"]
    assert list(figure.layout.xaxis2.ticktext) == ["2026-01", "2026-02"]


def test_several_hundred_files_and_columns_are_drawn_with_few_names():
    columns = [{f"<b>{column}</b>": column / 1000 for column in range(100)} for _ in range(300)]
    figure = plot_drift(drift([f"{number:03}.csv" for number in range(300)], columns))
    assert len(figure.layout.xaxis2.ticktext) <= 8
    assert figure.layout.xaxis2.ticktext[0] == "000"
    assert np.asarray(figure.data[3].z).shape == (MOST_COLUMNS + 1, 300)
    assert figure.layout.yaxis2.ticktext[1] == "&lt;b&gt;99&lt;/b&gt;"
    assert "29 of 100 columns" in title_of(figure)


def test_files_that_share_the_whole_name_but_a_number_and_a_missing_column():
    data = drift(["a.csv"], [{"age": 0.0}])
    del data["files"][0]["prediction"]
    figure = plot_drift(data)
    assert figure.data[1].y[0] is None
    assert figure.layout.xaxis2.ticktext[0] == "a"
    assert is_words(plot_drift(drift([], [])))
