"""Pages of use cases that are unusual."""

import json

import pandas as pd
import pytest

from tests.pipelines.test_supervised import run
from tests.reporting.pages import Page
from tests.reporting.test_rendering import HOSTILE

SHORT = {"training": {"epochs": 2, "batch_size": 16, "members": 2}, "model": {"widths": [4]}}


def page_of(rows: pd.DataFrame, task: str, target: str, **options: dict) -> Page:
    catalog = run(rows, task, target, report=True, **{**SHORT, **options})
    assert catalog["toy.model_card"].load().startswith("---\n")
    json.dumps(catalog["toy.facts"].load(), allow_nan=False)
    return Page(catalog["toy.report"].load())


@pytest.mark.parametrize(
    "fractions", [{"test_fraction": 0}, {"valid_fraction": 0}, {"valid_fraction": 0, "test_fraction": 0}]
)
@pytest.mark.parametrize(("task", "target"), [("regression", "price"), ("multiclass", "kind")])
def test_use_case_without_a_part_has_a_page(toy_rows, fractions, task, target):
    page = page_of(toy_rows, task, target, split=fractions)
    if "test_fraction" in fractions:
        assert "No rows" in page.text
        (sentence,) = [line for line in page.text.splitlines() if line.startswith(("Predicts ", "Tells "))]
        assert "guessing" not in sentence


def test_target_with_one_value_in_test_has_a_page(toy_rows):
    rows = toy_rows.assign(price=["7"] * 40 + [str(price) for price in range(20)], part=["test"] * 20 + ["train"] * 40)
    columns = {name: {"kind": "category"} for name in ("place", "kind", "part")}
    data = {"task": "regression", "target": "price", "columns": columns, "features": ["place", "kind"]}
    page = page_of(rows, "regression", "price", data=data, split={"part_column": "part"})
    assert "R² has no value" in page.text
    assert "A dash means that a metric has no value on these rows" in page.text


def test_classes_that_are_never_predicted_are_named(toy_rows):
    rows = toy_rows.assign(kind=[f"class {number % 6}" for number in range(60)])
    page = page_of(rows, "multiclass", "kind", training={"epochs": 1, "learning_rate": 1e-9, "members": 1})
    assert "Never predicted: class" in page.text


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_features_beyond_fifty_are_cut(toy_rows, count):
    names = [f"x{number}" for number in range(count)]
    wide = pd.DataFrame({name: [str((row * 7 + place) % 11) for row in range(60)] for place, name in enumerate(names)})
    columns = {name: {"kind": "number"} for name in names}
    data = {"task": "regression", "target": "price", "columns": columns}
    rows = wide.assign(price=toy_rows["price"])
    rows.attrs = toy_rows.attrs
    page = page_of(rows, "regression", "price", data=data, evaluation={"importance_repeats": 1, "importance_rows": 9})
    assert f"The {count:,} features it uses" in page.text
    assert f"… and {count - 50} more." in page.text


def test_markup_in_the_users_file_is_shown_and_not_executed(toy_rows):
    column, *levels = (text.replace("\n", " ") for text in HOSTILE)  # a line end within a value is rejected
    rows = toy_rows.assign(**{column: [levels[number % 3] for number in range(60)]})
    rows.attrs = {**toy_rows.attrs, "source": HOSTILE[1]}
    columns = {column: {"kind": "category"}, "size": {"kind": "number"}}
    kinds = toy_rows["kind"].map(dict(zip(sorted(set(toy_rows["kind"])), levels, strict=False)))
    data = {"task": "binary", "target": "kind", "columns": columns, "source": HOSTILE[1]}
    page = page_of(rows.assign(kind=kinds), "binary", "kind", data=data)
    assert (page.handlers, page.loads, page.tags.count("img")) == ([], [], 0)
    figures = [text for own, text in page.scripts if own.get("type") == "application/json"]
    assert page.tags.count("script") == len(figures) + 2
    assert not any("<" in text for text in figures)
    assert all(text in page.text for text in HOSTILE[:3])
