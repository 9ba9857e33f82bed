"""A folder that files arrive in at any moment."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn

import fsspec
from fsspec.implementations.local import LocalFileSystem
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from torchlane.core.scoring.contracts import InboxFile
from torchlane.datasets import tables
from torchlane.datasets.csv_tables import CSVTable
from torchlane.datasets.in_words import preview_files

UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".swp", "~")  # endings of files that are still written
MAX_CHARACTERS = 1000  # of a name

TIMES = ("mtime", "LastModified", "updated", "created")  # names that file systems give to the time of the last change
VERSIONS = ("ETag", "etag", "md5Hash", "generation", "VersionId", "content_md5")  # these change with the content


class InboxDataset(AbstractDataset[NoReturn, "FolderInbox"]):
    """A folder, on any file system that fsspec knows; loading it reads no file.

    Args:
        path: the folder, such as `data/01_raw/salaries_inbox` or `s3://bucket/folder`; a folder that does not
            exist counts as empty.
        storage_options: for the file system.
        credentials: for the file system, kept out of the catalog.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(
        self,
        *,
        path: str,
        storage_options: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        self._path = path
        self._options = {**(storage_options or {}), **(credentials or {})}
        self.metadata = metadata

    def load(self) -> "FolderInbox":
        system, folder = fsspec.core.url_to_fs(self._path, **self._options)
        inbox = LocalInbox if isinstance(system, LocalFileSystem) else FolderInbox
        return inbox(system, folder, self._path)

    def save(self, data: NoReturn) -> None:
        raise DatasetError("a run never writes to the inbox; other programs put the files there")

    def preview(self) -> TablePreview:
        """Show the files of a local folder, the newest first; another file system is not asked."""
        system, folder = fsspec.core.url_to_fs(self._path, **self._options)
        if not isinstance(system, LocalFileSystem):
            raise DatasetError(f"{self._path} is not on this machine")
        return preview_files(Path(folder).rglob("*"), "no file is waiting")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}


class FolderInbox:
    """The files of a folder and its subfolders, except hidden ones and those still being uploaded."""

    def __init__(self, system: Any, folder: str, place: str):
        self._system, self._folder, self.place = system, folder.rstrip("/"), place

    def files(self) -> list[InboxFile]:
        """List the files that are there now, in alphabetical order."""
        listed = (file for file in self._list() if not _is_unfinished(file.name))
        return sorted(listed, key=lambda file: file.name)

    def checksum(self, file: InboxFile) -> str:
        """Return the SHA-256 of the content."""
        with self._open(file) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type]

    @contextmanager
    def open(self, file: InboxFile) -> Iterator[CSVTable | tables.ParquetTable | tables.JSONLinesTable]:
        """Open a file as a table; see `torchlane.datasets.tables`."""
        with self._open(file) as opened:
            yield tables.open_table(opened, file.name, file.size)

    def unchanged(self, file: InboxFile) -> bool:
        """Say whether the file is still as it was listed."""
        try:
            return self._look(file.name).stamp == file.stamp
        except FileNotFoundError:
            return False

    def move(self, file: InboxFile, checksum: str, folder: str) -> None:
        """Move a file to another folder of the same file system; if its name is taken, prefix the checksum."""
        system, target = fsspec.core.url_to_fs(folder)
        target = target.rstrip("/")
        if type(system) is not type(self._system):
            raise OSError("prediction.archive is not on the file system of the inbox")
        if f"{target}/".startswith(f"{self._folder}/"):
            raise OSError("prediction.archive lies in the inbox; name a folder outside of it")
        path = f"{target}/{file.name}"
        if self._system.exists(path):
            name = PurePosixPath(file.name)
            path = f"{target}/{name.with_name(f'{checksum[:12]}-{name.name}')}"
        self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._system.mv(f"{self._folder}/{file.name}", path)

    def _list(self) -> Iterator[InboxFile]:
        try:
            found = self._system.find(self._folder, detail=True)
        except FileNotFoundError:
            return
        for path, details in found.items():
            yield self._describe(path.removeprefix(self._folder).lstrip("/"), details)

    def _look(self, name: str) -> InboxFile:
        self._system.invalidate_cache()
        return self._describe(name, self._system.info(f"{self._folder}/{name}"))

    def _describe(self, name: str, details: dict[str, Any]) -> InboxFile:
        modified = next((details[key] for key in TIMES if key in details), None)
        seconds = modified.timestamp() if isinstance(modified, datetime) else modified
        stamp = " ".join([*(str(details[key]) for key in ("size", *VERSIONS) if key in details), str(seconds)])
        size = int(details.get("size") or 0)
        return InboxFile(name, size, seconds if isinstance(seconds, float) else None, stamp, _refusal_of_name(name))

    def _open(self, file: InboxFile) -> IO[bytes]:
        opened: IO[bytes] = self._system.open(f"{self._folder}/{file.name}", "rb")
        return opened


class LocalInbox(FolderInbox):
    """A local folder; links are followed only to files inside it."""

    def _list(self) -> Iterator[InboxFile]:
        root = Path(self._folder)
        unreadable: list[OSError] = []
        for folder, names_of_folders, names in os.walk(root, onerror=unreadable.append):
            links = [name for name in names_of_folders if Path(folder, name).is_symlink()]
            for name in (*names, *links):
                try:
                    yield self._look(Path(folder, name).relative_to(root).as_posix())
                except FileNotFoundError:  # it has disappeared in the meantime
                    continue
        for error in unreadable:
            if Path(error.filename) != root:
                name = _printable(Path(error.filename).relative_to(root).as_posix())
                yield InboxFile(name, 0, None, str(error), f"it cannot be read: {error.strerror}")
            elif not isinstance(error, FileNotFoundError):
                raise error

    def _look(self, name: str) -> InboxFile:
        path = Path(self._folder, name)
        refusal = _refusal_of_name(name)
        own = path.lstat()
        try:
            found = own if refusal else path.stat()
        except OSError as error:
            refusal, found = f"it is a broken link ({error.strerror})", own
        if not refusal and not path.resolve().is_relative_to(Path(self._folder).resolve()):
            refusal = f"it is a link out of the inbox, to {path.resolve()}"
        if not refusal and not stat.S_ISREG(found.st_mode):
            refusal = "it is not a regular file"
        stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
        return InboxFile(_printable(name), found.st_size, found.st_mtime, stamp, refusal)

    def _open(self, file: InboxFile) -> IO[bytes]:
        path = Path(self._folder, file.name).resolve(strict=True)
        if not path.is_relative_to(Path(self._folder).resolve()):
            raise OSError(f"{file.name} is a link out of the inbox")
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        return os.fdopen(number, "rb")


def _is_unfinished(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith((".", "_")) and part != ".." for part in parts) or name.endswith(UNFINISHED)


def _refusal_of_name(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute() or "\\" in name:
        return "its name leads out of the inbox; rename it"
    if not tables.is_table(name):
        return f"its ending is not one of {', '.join(tables.ENDINGS)}"
    if len(name) > MAX_CHARACTERS:
        return f"its name has more than {MAX_CHARACTERS} characters; shorten it"
    if not name.isprintable():
        return "its name contains characters that cannot be printed; rename it"
    return ""


def _printable(name: str) -> str:
    """Escape what cannot be printed, and shorten a name that is too long for a ledger to its end."""
    return (name if name.isprintable() else ascii(name)[1:-1])[-MAX_CHARACTERS:]
