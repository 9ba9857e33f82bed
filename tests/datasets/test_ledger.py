import pytest
from kedro.io import DatasetError

from torchlane.core.scoring import InboxFile
from torchlane.datasets.ledger import LedgerDataset


def test_password_of_the_ledger_is_not_shown():
    dataset = LedgerDataset(use_case="x", credentials={"url": "postgresql+psycopg://user:secret@127.0.0.1:1/none"})
    with pytest.raises(DatasetError, match="the ledger .*127.0.0.1:1/none cannot be opened: ") as caught:
        dataset.load()
    assert "secret" not in str(caught.value)
    assert "secret" not in str(dataset)


@pytest.mark.parametrize("url", ["", "nonsense", "nosuch://x/y"])
def test_url_that_is_none_is_refused_in_one_line(url):
    with pytest.raises(DatasetError, match="cannot be opened"):
        LedgerDataset(use_case="x", url=url).load()


def test_use_cases_share_a_database_and_do_not_see_each_other(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    one, other = (LedgerDataset(use_case=name, url=url).load() for name in ("one", "other"))
    one.register(InboxFile("a.csv", 1, 0.0, "stamp"), "c" * 64)
    one.write_note("x", "1")
    assert [entry["name"] for entry in one.entries()] == ["a.csv"]
    assert other.entries() == []
    assert other.note("x") is None
    assert other.register(InboxFile("b.csv", 1, 0.0, "stamp"), "c" * 64) == "waiting"


def test_path_with_characters_that_mean_something_in_a_url_is_taken_as_it_is(tmp_path):
    path = tmp_path / "50%20 of it?mode=ro#x" / "ledger.sqlite"
    LedgerDataset(use_case="x", path=str(path)).load().write_note("x", "1")
    assert path.exists()


def test_ledger_has_one_place(tmp_path):
    with pytest.raises(DatasetError, match="either path or url"):
        LedgerDataset(use_case="x", path=str(tmp_path / "a"), url="sqlite:///b")
