import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.search.chosen import no_change, read_chosen
from torchlane.datasets.models import ChosenDataset

FOUND: dict[str, Any] = {
    "trials": 3,
    "trial": 1,
    "valid_r2_score": 0.5,
    "values": {"model.widths": [8]},
    "found_for": {"model.kind": "mlp"},
    "space_fingerprint": "a",
    "data_fingerprint": "b",
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@pytest.mark.parametrize("chosen", [FOUND, no_change(), {"trials": 2}], ids=["found", "nothing", "earlier version"])
def test_what_a_search_wrote_is_read_again(tmp_path, chosen):
    dataset = ChosenDataset(filepath=str(tmp_path / "chosen_options.json"))
    dataset.save(chosen)
    assert dataset.load() == chosen


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], r"a search writes a mapping with trials and values, not \[1, 2\]"),
        (None, "a search writes a mapping with trials and values, not null"),
        ({"model.widths": [8]}, r"a search writes a mapping with trials and values, not {\"model.widths\": \[8\]}"),
        ({**FOUND, "trials": "x"}, 'not as a search writes it: trials: input should be a valid integer, not "x"'),
        ({**FOUND, "values": [1]}, r"values: input should be a valid dictionary, not \[1\]"),
        ({"trials": 3, "values": {}}, "not as a search writes it: found_for: field required"),
    ],
)
def test_a_file_made_by_hand_is_refused_with_place_rule_value_and_way_out(tmp_path, given, message):
    path = tmp_path / "chosen_options.json"
    path.write_text(json.dumps(given))
    with pytest.raises(
        Exception, match=rf"chosen_options.json cannot be read: .*{message}; delete it, or search again"
    ):
        ChosenDataset(filepath=str(path)).load()


@given(given=ANYTHING, name=st.sampled_from([*FOUND, ""]))
def test_whatever_stands_in_the_file_is_read_or_refused_as_a_mistake_of_the_user(given, name):
    for stated in (given, {**FOUND, name: given}):
        try:
            read = read_chosen(json.dumps(stated))
        except ValueError as error:
            assert "a search writes" in str(error)
        else:
            assert read == stated
            assert isinstance(read["trials"], int)
