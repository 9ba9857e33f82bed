"""What each artifact was made from, as recorded when it was saved."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kedro.io import DatasetError
from pydantic import BaseModel

from torchlane.core.machine.digests import Stamp, content_digest, stamp_of
from torchlane.core.machine.files import replacing

STAGES = ("prepare", "tune", "train", "evaluate", "report")
# Of a search: they may be older than the rows; see `torchlane.core.search.chosen`.
MAY_BE_OLDER = {"chosen_options", "leaderboard", "option_importances"}
Values = dict[str, Any]  # options as JSON, by `section.option`


class Record(BaseModel, frozen=True):
    """What an artifact was made from, and in which stage.

    `fingerprint` is the SHA-256 of the artifact's file, or None while the file is being saved; `before` is then
    the record of the file that is being replaced. `made_from` has the fingerprints of all ancestors, the oldest
    first, and `options` has the options that they and the artifact were made with.
    """

    stage: str
    made_from: dict[str, str]
    options: Values
    fingerprint: str | None = None
    stamp: Stamp | None = None
    before: "Record | None" = None


class Lineage:
    """The records of one use case's artifacts, in the folder `.lineage` beside its model.

    Lookups are cached, so each node needs a new instance.
    """

    def __init__(self, use_case: str, catalog: Any):
        self.use_case = use_case
        self.catalog = catalog
        self._folder = catalog[f"{use_case}.model"].path.parent / ".lineage"
        self._fingerprints: dict[str, str | None] = {}
        self._records: dict[str, Record | None] = {}

    def path_of(self, artifact: str) -> Path | None:
        """Return the file of an artifact; None if it is not a file on this machine."""
        dataset = self._dataset(artifact)
        if artifact == "parent":
            options: Any = self.catalog.load(f"params:{self.use_case}.fine_tuning")
            path: Path = dataset.load().path_of(options.parent)
            return path
        if getattr(dataset, "_protocol", "file") != "file":
            return None
        return Path(dataset._get_load_path()) if hasattr(dataset, "_get_load_path") else getattr(dataset, "path", None)

    def is_raw(self, artifact: str) -> bool:
        """Say whether an artifact is raw data, which computes its own fingerprint and is never written."""
        return hasattr(self._dataset(artifact), "fingerprint")

    def fingerprint(self, artifact: str) -> str | None:
        """Return the SHA-256 of an artifact's present content; None if it does not exist or has no content."""
        if artifact not in self._fingerprints:
            self._fingerprints[artifact] = self._find_fingerprint(artifact)
        return self._fingerprints[artifact]

    def record(self, artifact: str) -> Record | None:
        """Return what an artifact was made from; None if that is unknown, as after a change by hand."""
        if artifact not in self._records:
            self._records[artifact] = self._find_record(artifact)
        return self._records[artifact]

    def stage_of_replaced(self, artifact: str) -> str | None:
        """Return the stage that wrote an artifact whose file has been changed or replaced since; otherwise None."""
        written = self._read(artifact)
        if written is None or self.fingerprint(artifact) is None or self.record(artifact) is not None:
            return None
        return written.stage

    def begin(self, artifact: str, made: Record) -> None:
        """Record what an artifact is made from, before it is saved."""
        if self.path_of(artifact) is not None:
            self._write(artifact, made.model_copy(update={"before": self.record(artifact)}))

    def end(self, artifact: str, made: Record) -> None:
        """Record what an artifact was made from, after it is saved."""
        path = self.path_of(artifact)
        if path is not None:
            saved = {"fingerprint": content_digest(path), "stamp": stamp_of(path)}
            self._write(artifact, made.model_copy(update=saved))

    def ancestry(self, artifacts: Iterable[str]) -> dict[str, str]:
        """Return the fingerprints of artifacts and of what they were made from, the oldest first."""
        found: dict[str, str] = {}
        for artifact in artifacts:
            record = self.record(artifact)
            found |= record.made_from if record and artifact not in MAY_BE_OLDER else {}
            now = self.fingerprint(artifact)
            found |= {} if now is None else {artifact: now}
        return found

    def records(self, artifacts: Iterable[str]) -> dict[str, Record]:
        """Return the records of artifacts and of everything that they were made from, in the order of stages."""
        named = set(artifacts)
        found = {name: self.record(name) for name in {*named, *self.ancestry(named)}}
        known = [
            (STAGES.index(each.stage), name not in named, name, each)
            for name, each in found.items()
            if each and name not in MAY_BE_OLDER
        ]
        return {name: record for *_, name, record in sorted(known, key=lambda item: item[:3])}

    def _dataset(self, artifact: str) -> Any:
        return self.catalog.get(f"{self.use_case}.{artifact}")

    def _find_fingerprint(self, artifact: str) -> str | None:
        try:
            if self.is_raw(artifact):
                raw = self._dataset(artifact)
                return str(raw.fingerprint()) if raw.exists() else None
            path = self.path_of(artifact)
            if path is None or not path.is_file():
                return None
            record = self._read(artifact)
            return record.fingerprint if record and record.stamp == stamp_of(path) else content_digest(path)
        except (OSError, DatasetError):  # the error is reported when the artifact is loaded
            return None

    def _find_record(self, artifact: str) -> Record | None:
        record, now = self._read(artifact), self.fingerprint(artifact)
        if record is None or now is None:
            return None
        if record.fingerprint is None:  # the save was interrupted, so the file is the old one or the new one
            record = record.before if record.before and record.before.fingerprint == now else record
        if record.fingerprint not in (None, now):
            return None
        path = self.path_of(artifact)
        if path is not None and record.stamp != stamp_of(path):  # it was copied, or the run was killed after the save
            settled = {"fingerprint": now, "stamp": stamp_of(path), "before": None}
            self._write(artifact, record := record.model_copy(update=settled))
        return record

    def _read(self, artifact: str) -> Record | None:
        try:
            return Record.model_validate_json((self._folder / f"{artifact}.json").read_bytes())
        except (OSError, ValueError):  # a power cut may have left half a record
            return None

    def _write(self, artifact: str, record: Record) -> None:
        with replacing(self._folder / f"{artifact}.json", durable=False) as partial:
            partial.write_text(record.model_dump_json())
