import pytest

from tests.core.transfer.adapted import COLUMNS, REGRESSION, TUNING, make_rows, train_parent
from torchlane.core import transfer
from torchlane.core.options import DataOptions, FineTuningOptions, SplitOptions


@pytest.mark.parametrize(("places", "warned"), [("abc", 0), ("abd", 0), ("ABc", 1)])
def test_new_rows_with_known_levels_in_another_spelling_are_said(places, warned, caplog):
    parent = train_parent(make_rows(), REGRESSION)
    caplog.clear()
    transfer.check_new_rows(
        make_rows(places), parent, DataOptions.model_validate(REGRESSION), FineTuningOptions.model_validate(TUNING)
    )
    found = [message for message in caplog.messages if "another spelling" in message]
    assert len(found) == warned
    for message in found:
        assert message.startswith("the table: 'place' of 40 rows, from row 1 on, is unseen, but train knows")


def test_latest_new_rows_are_the_test_where_the_split_is_in_an_order(caplog):
    data = {**REGRESSION, "columns": {**COLUMNS, "year": {"kind": "number"}}, "features": ["size", "place"]}
    parent = train_parent(make_rows(), REGRESSION)  # which knows no years
    rows = make_rows().assign(year=[str(2000 + number // 6) for number in range(60)])
    options, tuning = DataOptions.model_validate(data), FineTuningOptions.model_validate(TUNING)
    split = SplitOptions(order_by="year", all_rows_in=()).model_copy(update={"valid_fraction": 0.4, "seed": 9})
    clean, _ = transfer.check_new_rows(rows, parent, options, tuning)
    splits = transfer.split_new_rows(clean, transfer.data_for(parent, options, tuning), split, tuning)
    assert splits["part"].tolist() == ["train"] * 36 + ["valid"] * 12 + ["test"] * 12
