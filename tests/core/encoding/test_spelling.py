import logging
import string

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.model.test_trained import train_on
from torchlane.core.encoding.spelling import Respelling, known_spellings
from torchlane.core.options import DataOptions


@pytest.mark.parametrize(
    ("unseen", "known", "difference"),
    [
        ("501", "00501", "leading zeros"),
        ("00501", "501", "leading zeros"),
        ("7A", "007A", "leading zeros"),
        ("red", "Red", "upper and lower case"),
        ("newyork", "new york", "white space"),
        ("new\u00a0york", "new york", "white space"),
        ("cafe\u0301", "caf\u00e9", "the form of characters"),
        ("1.5", "1.50", "the form of the number"),
        ("1,5", "1.5", "the form of the number"),
        ("1,234.50", "1234.5", "the form of the number"),
        ("1.234,5", "1234.5", "the form of the number"),
        ("1'234", "1234", "the form of the number"),
        ("1E5", "100000", "the form of the number"),
        ("1", "True", "a word or a number"),
        ("False", "0", "a word or a number"),
    ],
)
def test_another_spelling_of_a_known_level_is_recognised(unseen, known, difference):
    assert known_spellings([unseen], ("other", known)) == {unseen: known}
    assert f"({difference})" in str(Respelling("code", unseen, known, 3, 1))


@pytest.mark.parametrize("unseen", ["502", "5010", "reed", "", "-", "-501", "1.51", "nan", "A501", "0"])
def test_another_level_is_not(unseen):
    assert known_spellings([unseen], ("00501", "Red", "1.50", "True", "501")) == {}


@given(st.text(string.printable + "éß０", max_size=12))
def test_any_text_is_its_own_spelling_and_folding_never_fails(text):
    assert known_spellings([text], (text,)) == {text: text}


@given(st.integers(0, 10**9), st.integers(1, 5))
def test_lost_zeros_are_always_recognised(number, zeros):
    assert known_spellings([str(number)], (f"{'0' * zeros}{number}",))


@pytest.fixture(scope="module")
def model():
    rows = pd.DataFrame({"code": ["001", "002", "010"] * 20, "size": ["1", "2"] * 30, "price": ["3", "4"] * 30})
    columns = {"size": {"kind": "number"}, "code": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})
    return train_on(rows, data, epochs=1)


def test_predict_warns_of_levels_in_another_spelling_once_a_column(model, caplog):
    frame = pd.DataFrame({"code": ["001", "new", "2", "10", None], "size": [1.0, 2, 3, 4, 5]})
    predicted = model.predict(frame)
    (line,) = caplog.messages
    assert line == (
        "'code' of 2 rows, from row 3 on, is unseen, but train knows it in another spelling, such as '2' as '002' "
        "(leading zeros); write it as in the rows of train"
    )
    caplog.clear()
    unseen = model.predict(frame.assign(code=["001", "new", "new", "new", None]))
    np.testing.assert_array_equal(predicted["prediction"], unseen["prediction"])  # a warning changes nothing
    assert caplog.messages == []


def test_predict_is_silent_where_no_level_is_unseen(model, caplog, monkeypatch):
    monkeypatch.setattr("torchlane.core.encoding.spelling.known_spellings", lambda *_: pytest.fail("was looked at"))
    with caplog.at_level(logging.WARNING):
        model.predict(pd.DataFrame({"code": ["001", "010"], "size": [1, 2]}))
    assert caplog.messages == []


def test_predict_ignores_columns_that_no_feature_needs_whatever_they_hold(model):
    frame = pd.DataFrame({"code": ["001", "010"], "size": [1, 2]})
    extra = frame.assign(meta=[[1], {"a": 2}], more=[{1}, object()])
    extra = pd.concat([extra, extra[["meta"]]], axis=1)  # and twice
    pd.testing.assert_frame_equal(model.predict(extra), model.predict(frame))
