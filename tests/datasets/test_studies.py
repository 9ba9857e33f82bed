import json
import os
import stat

import optuna
import pytest
import sqlalchemy as sql
from kedro.io import DatasetError

from torchlane.datasets.studies import SQLStudies, StudiesDataset

IDENTITY = {"data": "a", "space": "b", "options": "c"}


def test_a_study_is_found_again(tmp_path):
    for _ in range(2):
        study = SQLStudies("toy", tmp_path / "models/search.sqlite").open(None, IDENTITY)
        study.tell(study.ask(), 1.0)
    assert len(study.trials) == 2
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_file_of_a_search_has_the_mode_that_the_umask_allows(tmp_path, mask):
    before = os.umask(mask)
    try:
        for url in (None, f"sqlite:///{tmp_path}/shared.sqlite"):
            SQLStudies("toy", tmp_path / "search.sqlite").open(url, IDENTITY)
    finally:
        os.umask(before)
    for name in ("search.sqlite", "shared.sqlite"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~mask


def test_own_file_keeps_searches_on_other_data_apart(tmp_path, caplog):
    caplog.set_level("INFO")
    studies = SQLStudies("toy", tmp_path / "search.sqlite")
    first = studies.open(None, IDENTITY)
    first.tell(first.ask(), 1.0)
    assert studies.open(None, {**IDENTITY, "data": "other"}).trials == []
    assert "also holds a search whose data differ; it stays unchanged" in caplog.text
    assert len(studies.open(None, IDENTITY).trials) == 1


def test_storage_of_another_use_case_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/shared.sqlite"
    SQLStudies("zoo", tmp_path / "zoo/search.sqlite").open(url, IDENTITY)
    with pytest.raises(
        ValueError, match=r"shared.sqlite belongs to use case zoo, not toy; name another in tuning.storage"
    ):
        SQLStudies("toy", tmp_path / "search.sqlite").open(url, IDENTITY)
    (tmp_path / "shared.sqlite").rename(tmp_path / "search.sqlite")  # as own file too
    with pytest.raises(ValueError, match="belongs to use case zoo"):
        SQLStudies("toy", tmp_path / "search.sqlite").open(None, IDENTITY)


@pytest.mark.parametrize("differing", ["data", "space", "options"])
def test_storage_of_another_search_is_refused_and_says_what_differs(tmp_path, differing):
    url = f"sqlite:///{tmp_path}/shared.sqlite"
    studies = SQLStudies("toy", tmp_path / "search.sqlite")
    studies.open(url, IDENTITY)
    with pytest.raises(ValueError, match=f"belongs to another search of toy, whose {differing} differ; name another"):
        studies.open(url, {**IDENTITY, differing: "other"})
    assert len(optuna.get_all_study_names(url)) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////nowhere/at/all/search.sqlite", "unable to open database file"),
        ("nosuchdatabase://host/name", "cannot be opened: Can't load plugin"),
        ("postgresql+psycopg://user:secret@127.0.0.1:1/name?connect_timeout=2", "cannot be opened: connection"),
    ],
)
def test_storage_that_cannot_be_opened_says_so_in_one_line_without_the_password(tmp_path, url, message):
    with pytest.raises(ValueError) as caught:
        SQLStudies("toy", tmp_path / "search.sqlite").open(url, IDENTITY)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "tuning.storage" in str(caught.value)


def test_file_that_is_no_database_says_so(tmp_path):
    (tmp_path / "search.sqlite").write_text("no database, but long enough to look like something else altogether")
    with pytest.raises(ValueError, match="cannot be opened: file is not a database"):
        SQLStudies("toy", tmp_path / "search.sqlite").open(None, IDENTITY)


def test_dataset_gives_the_store_and_takes_its_address_from_credentials(tmp_path):
    dataset = StudiesDataset(use_case="toy", filepath=str(tmp_path / "search.sqlite"))
    assert dataset.exists()
    assert not (tmp_path / "search.sqlite").exists()
    with pytest.raises(DatasetError, match="the search writes trials itself"):
        dataset.save(object())
    shared = StudiesDataset(
        use_case="toy",
        filepath=str(tmp_path / "search.sqlite"),
        credentials={"url": f"sqlite:///{tmp_path}/shared.sqlite"},
    )
    store = shared.load()
    store.open(None, IDENTITY)
    assert (tmp_path / "shared.sqlite").exists()
    assert not (tmp_path / "search.sqlite").exists()
    assert store.worker


def test_no_table_of_a_study_holds_pickles(tmp_path):
    from optuna.storages._rdb.models import BaseModel

    columns = [column for table in BaseModel.metadata.tables.values() for column in table.columns]
    assert len(columns) > 30
    assert not [column for column in columns if isinstance(column.type, (sql.PickleType, sql.LargeBinary))]


def test_what_a_search_found_is_read_back_to_the_same_bytes(tmp_path, caplog):
    paths = {name: tmp_path / f"{name}.txt" for name in ("chosen_options", "leaderboard", "option_importances")}
    dataset = StudiesDataset(
        use_case="toy",
        filepath=str(tmp_path / "search.sqlite"),
        found={name: {"filepath": str(path)} for name, path in paths.items()},
    )
    assert dataset.load().found() is None
    paths["chosen_options"].write_text('{"trials": 0, "values": {}}')
    assert dataset.load().found() is None
    text = 'trial,state,error,a,b\n0,complete,,0.1000,"[8, 8]"\n1,fail,"a ""b"", c",1e-05,NA\n'
    paths["leaderboard"].write_text(text)
    paths["option_importances"].write_text('{"a": 0.25}')
    written = {"trials": 2, "values": {"a": 0.1}, "found_for": {}, "space_fingerprint": "", "data_fingerprint": ""}
    paths["chosen_options"].write_text(json.dumps(written))
    chosen, leaderboard, importances = dataset.load().found()
    assert (chosen["trials"], importances) == (2, {"a": 0.25})
    assert leaderboard.to_csv(index=False) == text
    paths["leaderboard"].unlink()
    assert dataset.load().found()[1].empty
    assert (
        "leaderboard.txt is missing; run the same search again to write it, without training its trials again"
        in caplog.text
    )
    paths["chosen_options"].write_text('{"trials": 2')
    with pytest.raises(ValueError, match=r"chosen_options.txt cannot be read: .*; delete it, or search again"):
        dataset.load().found()
