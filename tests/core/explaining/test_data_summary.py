import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.explaining.models import data_of, raw_rows
from torchlane.core.explaining.data_summary import summarise_data
from torchlane.core.explaining.distributions import MOST_COLUMNS
from torchlane.core.options import DataOptions, SplitOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import split_rows


def summary(rows: pd.DataFrame, data: DataOptions, **split):
    clean, rejected = check_rows(rows, data)
    options = SplitOptions.model_validate(split)
    return summarise_data(clean, rejected, split_rows(clean, data, options), data, options)


def test_rows_kept_and_rejected_are_counted_with_the_rules_that_they_broke():
    rows = raw_rows()
    rows.loc[[10, 11], "price"] = ["soon", ""]
    rows.loc[[10, 12], "size"] = ["much", "more"]
    found = summary(rows, data_of())
    assert found["rows"] == {"raw": 60, "kept": 57, "rejected": 3}
    assert found["rejected"] == [
        {"rule": "a number", "column": "size", "rows": 2},
        {"rule": "a number", "column": "price", "rows": 1},
        {"rule": "not missing", "column": "price", "rows": 1},
    ]
    assert found["missing"] == {"size": 1, "place": 1, "built": 1}
    assert sum(found["split"].values()) == 57
    assert found["columns"]["place"] == {"kind": "category", "unit": None, "distinct": 3}
    assert found["columns"]["size"]["distinct"] == pd.to_numeric(rows["size"], "coerce").drop([10, 11, 12]).nunique()
    json.dumps(found, allow_nan=False)


def test_line_without_a_column_reads_back_from_a_file(tmp_path):
    rows, data = raw_rows(), data_of()
    clean, _ = check_rows(rows, data)
    pd.DataFrame({"row": [61], "column": [""], "value": "1,2", "rule": "4 fields"}).to_csv(
        tmp_path / "r.csv", index=False
    )
    rejected = pd.read_csv(tmp_path / "r.csv")
    options = SplitOptions()
    found = summarise_data(clean, rejected, split_rows(clean, data, options), data, options)
    assert found["rejected"] == [{"rule": "4 fields", "column": "", "rows": 1}]
    assert found["rows"] == {"raw": 61, "kept": 60, "rejected": 1}


@pytest.mark.parametrize(
    "split", [{}, {"repeats": "apart"}, {"all_rows_in": ["train", "valid"]}, {"group_by": ["built"]}]
)
def test_repeats_are_those_that_the_split_logs(split, caplog):
    caplog.set_level("INFO")
    rows = pd.concat([raw_rows(), raw_rows()[:4]], ignore_index=True)
    found = summary(rows, data_of(), **split)
    assert sum(found["repeats"].values()) == 4
    assert found["repeats"]["by_chance"] == (4 if split.get("repeats") == "apart" else 0)
    if "all_rows_in" not in split:
        assert f"{found['repeats']['copies']} as copies" in caplog.text
    else:
        assert found["split"] == {"train": 64, "valid": 64, "test": 0}


def test_unit_of_a_column_is_told():
    columns = {"size": {"kind": "number", "unit": "kg"}, "place": {"kind": "category"}}
    found = summary(raw_rows(), data_of(columns=columns))
    assert found["columns"]["size"]["unit"] == found["distributions"]["size"]["unit"] == "kg"


def test_distribution_has_the_shares_of_the_values_known_in_each_part():
    rows = pd.DataFrame({"place": ["b", "a", "b", "", "c", "b"], "size": ["1", "2", "", "2", "2", "10"]})
    rows["price"] = ["0", "1", "2", "3", "4", "5"]
    data = DataOptions.model_validate(
        {
            "task": "regression",
            "target": "price",
            "columns": {"place": {"kind": "category"}, "size": {"kind": "number"}},
        }
    )
    clean, rejected = check_rows(rows, data)
    splits = pd.DataFrame({"row": clean["row"], "part": ["train"] * 4 + ["test"] * 2})
    found = summarise_data(clean, rejected, splits, data, SplitOptions())["distributions"]
    assert list(found) == ["price", "place", "size"]
    assert (found["place"]["levels"], found["place"]["others"]) == (["a", "b", "c"], 0)
    assert found["place"]["parts"] == {"train": [1 / 3, 2 / 3, 0], "valid": [0, 0, 0], "test": [0, 0.5, 0.5]}
    assert found["place"]["missing"] == {"train": 0.25, "valid": 0, "test": 0}
    assert found["size"]["levels"] == ["1", "2", "10"]
    assert found["size"]["parts"]["train"] == [1 / 3, 2 / 3, 0]


@settings(deadline=None)
@given(values=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=60), repeated=st.booleans())
def test_every_known_number_is_in_one_bin(values, repeated):
    numbers = np.array([*values, *values] if repeated else values)
    data = data_of(columns={"size": {"kind": "number"}})
    clean = pd.DataFrame({"row": np.arange(1, len(numbers) + 1), "size": numbers, "price": numbers[::-1]})
    splits = pd.DataFrame({"row": clean["row"], "part": "train"})
    none = pd.DataFrame({"row": [], "column": [], "value": [], "rule": []})
    found = summarise_data(clean, none, splits, data, SplitOptions())["distributions"]["size"]
    assert sum(found["parts"]["train"]) == pytest.approx(1)
    assert found["parts"]["test"] == [0.0] * len(found["parts"]["train"])
    if "edges" in found:
        assert len(found["edges"]) == len(found["parts"]["train"]) + 1 and np.diff(found["edges"]).min() > 0
    else:
        assert len(found["levels"]) == len(found["parts"]["train"]) == len(np.unique(numbers))


def test_rare_levels_share_one_bin():
    rows = raw_rows(100).assign(place=[f"p{number % 30:02}" for number in range(100)])
    found = summary(rows, data_of())["distributions"]["place"]
    assert len(found["levels"]) == 20 and found["others"] == 10
    assert {f"p{number:02}" for number in range(10)} <= set(found["levels"])
    for shares in found["parts"].values():
        assert len(shares) == 21 and sum(shares) == pytest.approx(1) and shares[-1] > 0


def test_dates_have_edges_in_their_zone():
    found = summary(raw_rows(), data_of())["distributions"]["built"]
    assert len(found["edges"]) == 21 and found["edges"][0].startswith("2020-01-") and "+00:00" in found["edges"][0]
    assert found["edges"] == sorted(found["edges"])


def test_size_of_a_summary_is_bounded():
    names = [f"x{number}" for number in range(3000)]
    rows = pd.DataFrame(np.arange(90_000).reshape(30, 3000) % 97, columns=names).astype(float)
    rows.insert(0, "row", range(1, 31))
    data = DataOptions.model_validate(
        {"task": "regression", "target": "x9", "columns": {name: {"kind": "number"} for name in names}}
    )
    none = pd.DataFrame({"row": range(9000), "column": "x", "value": "", "rule": [f"r{n}" for n in range(9000)]})
    splits = pd.DataFrame({"row": rows["row"], "part": "train"})
    found = summarise_data(rows, none, splits, data, SplitOptions())
    assert len(found["distributions"]) == MOST_COLUMNS and list(found["distributions"])[:2] == ["x9", "x0"]
    assert len(found["columns"]) == 3000 and len(found["rejected"]) == 100
    assert found["columns"]["x5"]["distinct"] == rows["x5"].nunique()


def test_images_have_no_distribution():
    data = DataOptions.model_validate(
        {
            "task": "multiclass",
            "target": "label",
            "columns": {"image": {"kind": "image", "size": [1, 1, 2]}, "label": {"kind": "category"}},
        }
    )
    clean = pd.DataFrame({"row": [1, 2], "image": [b"ab", b"cd"], "label": ["x", "y"]})
    splits = pd.DataFrame({"row": [1, 2], "part": "train"})
    none = pd.DataFrame({"row": [], "column": [], "value": [], "rule": []})
    found = summarise_data(clean, none, splits, data, SplitOptions())
    assert list(found["distributions"]) == ["label"]
    assert found["columns"]["image"] == {"kind": "image", "unit": None, "distinct": None}


def test_ends_of_the_parts_of_an_order_are_noted():
    assert "periods" not in summary(raw_rows(), data_of())
    periods = summary(raw_rows().drop(index=7), data_of(), order_by="built")["periods"]
    ends = [end for part in ("train", "valid", "test") for end in periods[part]]
    assert ends == sorted(ends)
