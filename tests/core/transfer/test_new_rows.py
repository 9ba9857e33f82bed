import pytest

from tests.core.transfer.adapted import REGRESSION, TUNING, make_rows, train_parent
from torchlane.core import transfer
from torchlane.core.options import DataOptions, FineTuningOptions


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
