"""Tables that nobody would write by hand, from raw text to tensors and back."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import torchlane
from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.options import CategoryEncoding, DataOptions, EncodingOptions, NumberEncoding, SplitOptions
from torchlane.core.rows.checking import ROW, apply_rules, check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.rows.values import MISSING_NUMBERS

SOURCE = Path(torchlane.__file__).parent
TARGET = "y"
NAMES = ("x", "size", "Größe", "part", "index", "column", "x=missing", " padded ", "量")
PLAIN_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
INTEGRAL = re.compile(r"(-?\d+)\.0+", re.ASCII)

ordinary_numbers = st.one_of(st.integers(-1000, 1000).map(str), st.decimals(-1000, 1000, places=2).map(str))
any_numbers = st.one_of(
    ordinary_numbers,
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.floats(-1e-300, 1e-300).map(repr),
    st.sampled_from(["-0", "1.", ".5", "+3", "1e5", "1E-5", " 7 ", "\t8", "9007199254740993", "1e308", "-1e308"]),
    st.sampled_from(["0.1000000000000000055511151231257827", "2.2250738585072011e-308", "5e-324", "1e-400"]),
)
no_numbers = st.one_of(
    st.sampled_from(["", " ", "NA", "nan", "None", "-", "?", "soon", "1,000", "1 000", "1_000", "0x10", "1e400"]),
    st.sampled_from(
        ["inf", "-Infinity", "٣", "\uff13", "½", "1d5", "1e", "--1", "5%", "$5", "1/2", "\x00", "12:30", "1.2.3"]
    ),
)
levels = st.one_of(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(
        ["", " ", " a", "a ", "A", "NA", "nan", "None", "null", "1", "1.0", "1.00", "-1.0", "01", "1e0", "inf"]
    ),
    st.sampled_from(
        ["é", "e\u0301", "ß", "東京", "🙂", "\u200b", "\u00a0a", "\x00", "=1+1", 'a"b', "a,b", "unseen", "missing"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=5),
)
CELLS = {
    "number": [ordinary_numbers, any_numbers, ordinary_numbers | no_numbers, any_numbers | no_numbers],
    "category": [st.sampled_from(["a", "b"]), st.sampled_from(["a", "b", "c", ""]), levels],
}


class Table(NamedTuple):
    """A raw table and the options that go with it."""

    rows: pd.DataFrame
    data: DataOptions
    split: SplitOptions
    encoding: EncodingOptions


@st.composite
def tables(draw: st.DrawFn) -> Table:
    n_rows = draw(st.integers(2, 40))
    task = draw(st.sampled_from(["regression", "binary", "multiclass"]))
    kinds = {name: draw(st.sampled_from(["number", "category"])) for name in draw(_names())}
    target_kind = "number" if task == "regression" else "category"
    most = {TARGET: 2} if task == "binary" else {}
    cells = {
        name: draw(_cells(kind, n_rows, most.get(name, 12))) for name, kind in {**kinds, TARGET: target_kind}.items()
    }
    rows = pd.DataFrame(cells, dtype="str", index=draw(st.permutations(range(n_rows))))
    columns = {name: {"kind": kind, **draw(_rules(kind))} for name, kind in kinds.items()}
    data = {"task": task, "target": TARGET, "columns": columns, "features": draw(_subset(kinds))}
    split = {
        "seed": draw(st.integers(0, 3)),
        "valid_fraction": draw(st.sampled_from([0, 0.3])),
        "test_fraction": draw(st.sampled_from([0, 0.2])),
        "stratify": draw(st.booleans()),
        "repeats": draw(st.sampled_from(["auto", "together", "apart"])),
        "group_by": draw(st.lists(st.sampled_from(list(kinds)), max_size=1)),
    }
    encoding = {
        "categories": draw(st.sampled_from(get_args(CategoryEncoding))),
        "numbers": draw(st.sampled_from(get_args(NumberEncoding))),
        "target": draw(st.sampled_from(["none", "min_max", "z_score"])),
        "min_level_count": draw(st.integers(1, 3)),
    }
    return Table(
        rows,
        DataOptions.model_validate(data),
        SplitOptions.model_validate(split),
        EncodingOptions.model_validate(encoding),
    )


def _names() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True)


def _subset(names: dict[str, str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(list(names)), max_size=3, unique=True)


@st.composite
def _cells(draw: st.DrawFn, kind: str, n_rows: int, most: int) -> list[str]:
    # Few distinct values, repeated, so that rows repeat each other and levels become common.
    pool = draw(st.lists(draw(st.sampled_from(CELLS[kind])), min_size=min(2, most), max_size=most))
    return draw(st.lists(st.sampled_from(pool), min_size=n_rows, max_size=n_rows))


def _rules(kind: str) -> st.SearchStrategy[dict]:
    if kind == "number":
        return st.sampled_from([{}, {}, {"nullable": False}, {"minimum": -10}, {"minimum": 0, "maximum": 500}])
    return st.sampled_from([{}, {}, {"nullable": False}, {"levels": ["a", "b", "NA", "1"]}])


@contextmanager
def refused() -> Iterator[None]:
    """Let pass a ValueError that Torchlane itself raised, with a message of one line."""
    try:
        yield
    except ValueError as error:
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        assert SOURCE in Path(raised_in).parents, f"{raised_in} raised it, not Torchlane: {error}"
        assert len(str(error).splitlines()) == 1


def fuzz(examples: int):
    """Run a property on so many tables, and show the first that breaks it: making it smaller takes minutes."""
    limits = settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    return lambda test: limits(given(table=tables())(test))


def read_columns(data: DataOptions) -> dict:
    return {**data.columns, TARGET: data.target_column}


@fuzz(50)
def test_each_row_is_kept_as_it_stood_or_rejected(table):
    before = table.rows.copy(deep=True)
    columns = read_columns(table.data)
    clean, rejected = apply_rules(table.rows, columns, table.data.missing_values)
    pd.testing.assert_frame_equal(table.rows, before)
    assert sorted([*clean[ROW], *set(rejected[ROW])]) == list(range(1, len(before) + 1))
    for name, column in columns.items():
        texts = [before[name].iloc[row - 1].strip() for row in clean[ROW]]
        for text, value in zip(texts, clean[name], strict=True):
            if pd.isna(value):
                assert column.nullable
                assert not text or (column.kind == "number" and text.lower() in MISSING_NUMBERS)
            elif column.kind == "number":
                assert value == float(text)
            else:
                assert value == INTEGRAL.sub(r"\1", text) if INTEGRAL.fullmatch(text) else value == text
    for line in rejected.itertuples():
        text = before[line.column].iloc[line.row - 1]
        assert line.value == text or text == "nan"
        assert line.rule != "a number" or not PLAIN_NUMBER.fullmatch(text.strip())
    with refused():
        checked, _ = check_rows(table.rows, table.data)
        pd.testing.assert_frame_equal(checked, clean)


@fuzz(50)
def test_rows_that_stay_together_share_one_part(table):
    with refused():
        clean, _ = check_rows(table.rows, table.data)
        before = clean.copy(deep=True)
        split = split_rows(clean, table.data, table.split)
        pd.testing.assert_frame_equal(clean, before)
        assert split[ROW].to_list() == clean[ROW].to_list()
        assert set(split["part"]) <= set(PARTS)
        parts = split["part"].to_numpy()
        repeats = [[*table.data.feature_columns, TARGET]] if table.split.repeats == "together" else []
        for names in (*repeats, list(table.split.group_by)):
            keys = clean[names].astype(object).where(clean[names].notna(), None).itertuples(index=False, name=None)
            together: dict = {}
            for key, part in zip(keys, parts, strict=True):
                assert not names or together.setdefault(key, part) == part


def prepared(table: Table) -> tuple[pd.DataFrame, pd.DataFrame, Encoder]:
    clean, _ = check_rows(table.rows, table.data)
    split = split_rows(clean, table.data, table.split)
    return clean, split, fit_encoder(rows_of("train", clean, split), table.data, table.encoding)


@fuzz(70)
def test_tensors_are_finite_float32_and_encoders_survive_json(table):
    with refused():
        clean, split, encoder = prepared(table)
        before = clean.copy(deep=True), split.copy(deep=True)
        again = Encoder.model_validate_json(encoder.model_dump_json())
        assert again == encoder
        for part in PARTS:
            features, targets = build_tensors(rows_of(part, clean, split), encoder).tensors
            assert features.dtype == torch.float32
            assert features.shape == ((split["part"] == part).sum(), *encoder.feature_shape)
            assert torch.isfinite(features).all()
            assert torch.isfinite(targets).all()
        whole, reread = build_tensors(clean, encoder), build_tensors(clean, again)
        for one, other in zip(whole.tensors, reread.tensors, strict=True):
            assert one.numpy().tobytes() == other.numpy().tobytes()
        pd.testing.assert_frame_equal(clean, before[0])
        pd.testing.assert_frame_equal(split, before[1])


@fuzz(50)
def test_levels_and_targets_come_back_from_their_codes(table):
    with refused():
        clean, split, encoder = prepared(table)
        train = clean[(split["part"] == "train").to_numpy()]
        for column in encoder.columns:
            if isinstance(column, CategoryEncoder):
                counts = train[column.name].value_counts()
                kept = counts.index[counts >= table.encoding.min_level_count]
                order = table.data.columns[column.name].level_order if column.encoding != "one_hot" else ()
                assert set(column.levels) == {*kept, *order}
                for value, code in zip(clean[column.name], column.codes(clean[column.name]), strict=True):
                    if pd.isna(value):
                        assert code == len(column.levels) + 1
                    else:
                        assert column.levels[code] == value if value in column.levels else code == len(column.levels)
        scaled = torch.from_numpy(encoder.target.encode(clean[TARGET]))
        if table.data.task == "regression":
            largest = clean[TARGET].abs().max()
            np.testing.assert_allclose(
                encoder.target.decode(scaled)[:, 0], clean[TARGET], rtol=0, atol=1e-6 * largest + 1e-37
            )
        else:
            labels = np.array(encoder.target.labels, dtype=object)
            assert labels[scaled.reshape(-1).to(torch.int64)].tolist() == clean[TARGET].to_list()


@fuzz(40)
def test_encoder_does_not_change_with_rows_outside_train(table):
    with refused():
        clean, split, encoder = prepared(table)
        outside = (split["part"] != "train").to_numpy()
        others = clean.copy()
        for name, column in read_columns(table.data).items():
            others.loc[outside, name] = 1e9 if column.kind == "number" else "only here"
        assert fit_encoder(rows_of("train", others, split), table.data, table.encoding) == encoder
