"""Searches for options, kept in any SQL database that Optuna supports. Nothing in it is ever unpickled."""

import io
import json
import logging
import socket
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from torchlane.core.search.chosen import read_chosen
from torchlane.core.search.fingerprints import fingerprint
from torchlane.core.search.leaderboard import empty_leaderboard
from torchlane.core.search.store import Found
from torchlane.datasets.in_words import preview_rows

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.study import Study

logger = logging.getLogger(__name__)

BUSY_SECONDS = 60  # how long one run waits while another writes
SEARCHES = """
    SELECT study_name, COUNT(trial_id), SUM(state = 'COMPLETE'), SUM(state = 'FAIL'), MAX(value), MAX(datetime_complete)
    FROM studies LEFT JOIN trials USING (study_id) LEFT JOIN trial_values USING (trial_id)
    GROUP BY study_id ORDER BY study_id DESC LIMIT 100
"""
ABOUT = "about"  # the user attribute of a study that holds its use case and identity


class StudiesDataset(AbstractDataset[NoReturn, "SQLStudies"]):
    """A database of searches. Loading it gives a store that the search itself writes to.

    Args:
        use_case: the use case whose searches it keeps.
        filepath: an SQLite file, which is made when the first trial is asked for.
        found: the files of the catalog with what a search found, each as its `filepath`: `chosen_options`,
            `leaderboard`, `option_importances`.
        credentials: their `url`, for SQLAlchemy, replaces the file, and does not appear in the catalog.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(
        self,
        *,
        use_case: str,
        filepath: str,
        found: dict[str, dict[str, str]] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        self._use_case = use_case
        self._path = Path(filepath)
        self._found = {name: Path(each["filepath"]) for name, each in (found or {}).items()}
        self._url = (credentials or {}).get("url")
        self.metadata = metadata

    def load(self) -> "SQLStudies":
        return SQLStudies(self._use_case, self._path, self._url, self._found)

    def save(self, data: NoReturn) -> None:
        raise DatasetError("the search writes trials itself, through the store that load() gives")

    def preview(self) -> TablePreview:
        """Show the searches in the file, the latest first: their trials by state, and the best score."""
        searches: list[tuple[Any, ...]] = []
        if self._path.exists():
            with closing(sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                searches = connection.execute(SEARCHES).fetchall()
        return preview_rows(
            searches, ("search", "trials", "complete", "failed", "best score", "last trial"), "no trial is recorded"
        )

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "use_case": self._use_case}


class SQLStudies:
    """The searches of one use case.

    Its own file keeps several searches side by side, each under its identity. A storage that the user names
    holds a single search, which machines may share.
    """

    def __init__(
        self, use_case: str, path: Path, url: str | None = None, found: Mapping[str, Path] = MappingProxyType({})
    ):
        self._use_case = use_case
        self._path = path
        self._url = url
        self._found = found
        self.worker = ""

    def open(self, storage: str | None, identity: Mapping[str, str]) -> "Study":
        """Open the search with this identity, or begin it.

        Raises:
            ValueError: the storage cannot be opened, or belongs to another use case or another search.
        """
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        url = storage or self._url
        if url is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        else:
            self.worker = f"{socket.gethostname()} {self._path.parent.resolve()}"
        shown, opened = _open(url or f"sqlite:///{self._path}", own=self._path if url is None else None)
        about = {"use_case": self._use_case, **identity}
        try:
            self._check(opened, shown, about, alone=url is not None)
            name = f"{self._use_case} {fingerprint(about)[:16]}"
            study = optuna.create_study(
                storage=opened,
                study_name=name,
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(),
                pruner=optuna.pruners.NopPruner(),
            )
            if study.user_attrs.get(ABOUT) != about:
                study.set_user_attr(ABOUT, about)
        except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            raise ValueError(f"the storage {shown} cannot be used: {_in_one_line(error)}") from error
        return study

    def found(self) -> Found | None:
        """Read what the last search found from its files; None if it chose nothing.

        Raises:
            ValueError: a file cannot be read.
        """
        path = self._found.get("chosen_options")
        chosen = _read(path, read_chosen) if path is not None and path.exists() else None
        if not chosen or not chosen.get("trials"):
            return None
        board, importances = self._found["leaderboard"], self._found["option_importances"]
        for each in (board, importances):
            if not each.exists():
                logger.warning(
                    "search: %s is missing; run the same search again to write it, without training its trials again",
                    each,
                )
        return (
            chosen,
            _read(board, _read_table) if board.exists() else empty_leaderboard(),
            _read(importances, json.loads) if importances.exists() else {},
        )

    def _check(self, opened: "RDBStorage", shown: str, about: Mapping[str, str], alone: bool) -> None:
        import optuna

        for summary in optuna.get_all_study_summaries(opened):
            other = summary.user_attrs.get(ABOUT)
            if other is None or other == about:
                continue
            if other["use_case"] != about["use_case"]:
                raise ValueError(
                    f"the storage {shown} belongs to use case {other['use_case']}, not {about['use_case']}; "
                    f"name another in tuning.storage"
                )
            differing = " and ".join(name for name in about if other.get(name) != about[name])
            if alone:
                raise ValueError(
                    f"the storage {shown} belongs to another search of {about['use_case']}, whose {differing} "
                    f"differ; name another in tuning.storage, or undo the change of {differing}"
                )
            logger.info("search: %s also holds a search whose %s differ; it stays unchanged", shown, differing)


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}; delete it, or search again") from error


def _read_table(text: str) -> pd.DataFrame:
    """Read a table as text, so that writing it again gives the same bytes."""
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def _open(url: str, own: Path | None) -> "tuple[str, RDBStorage]":
    """Open a database, or the `own` file, for Optuna. Return its URL without the password, and the storage."""
    import optuna
    import sqlalchemy as sql
    from sqlalchemy.exc import SQLAlchemyError

    from torchlane.datasets.databases import make_empty

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # the search writes its own log lines
    try:
        parsed = sql.make_url(url)
        shown = parsed.render_as_string(hide_password=True)
        is_file = parsed.get_backend_name() == "sqlite"
        settings: dict[str, Any] = {"poolclass": sql.NullPool} if is_file else {"pool_pre_ping": True}
        if own is not None:
            settings["creator"] = lambda: _connect(own)
    except (SQLAlchemyError, ImportError) as error:
        raise ValueError(f"the storage cannot be opened: {_in_one_line(error)}; set tuning.storage") from error
    try:
        if is_file:
            make_empty(parsed.database)
        return shown, optuna.storages.RDBStorage(url, engine_kwargs=settings)
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, OSError, RuntimeError) as error:
        raise ValueError(
            f"the storage {shown} cannot be opened: {_in_one_line(error)}; name another in tuning.storage"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    """Open a file that survives a crash of the process, but does not wait for the disk at each trial."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _in_one_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return " ".join(str(getattr(cause, "orig", None) or cause).split())
