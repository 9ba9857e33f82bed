"""Reading, scoring and writing, of a large file at the same time: each in threads, with the chunks in order."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Any

import pyarrow as pa

from torchlane.core.machine.threads import decide_threads, torch_threads
from torchlane.core.rows.raw_rows import Chunk
from torchlane.core.scoring.chunks import ChunkScorer, Scored
from torchlane.core.scoring.contracts import Predictions, Writer, WritingError

MAX_QUEUED = 2  # chunks that may wait to be scored, and to be written
MAX_WORKERS = 4  # threads that score; each holds a chunk
SMALL_BYTES = 1 << 20  # a file up to this size is not worth the start of threads


def read_ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Read in a thread, at most `MAX_QUEUED` chunks ahead of the scoring."""
    queue: Queue[Any] = Queue(MAX_QUEUED)
    ended = threading.Event()

    def read() -> None:
        try:
            for chunk in chunks:
                if not _put(queue, chunk, ended):
                    return
            _put(queue, None, ended)
        except BaseException as error:
            _put(queue, error, ended)

    thread = threading.Thread(target=read, name="read", daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ended.set()
        thread.join()


def score_in_threads(scorer: ChunkScorer, chunks: Iterator[Chunk]) -> Iterator[Scored]:
    """Score chunks in threads and yield them in order.

    Torch uses one thread in each of them, which disturbs reading and writing least.
    """
    workers = min(os.cpu_count() or 1, MAX_WORKERS)
    pending: deque[Future[Scored]] = deque()
    with torch_threads(1), ThreadPoolExecutor(workers, "score", decide_threads, (1,)) as pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(scorer.score, chunk))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def steps_for(n_bytes: int, writer: Writer) -> Iterator["InTurn | InThreads"]:
    """Give the steps for a file of this size; on exit, drop what is not written yet."""
    if n_bytes <= SMALL_BYTES:
        yield InTurn(writer)
        return
    steps = InThreads(writer)
    try:
        yield steps
    finally:
        steps.discard()


class InTurn:
    """Reads, scores and writes one chunk after the other."""

    def __init__(self, writer: Writer):
        self._writer = writer

    def score(self, scorer: ChunkScorer, chunks: Iterator[Chunk]) -> Iterator[Scored]:
        """Score chunks."""
        return map(scorer.score, chunks)

    def write(self, predictions: Predictions, rejected: pa.Table) -> None:
        """Write a chunk.

        Raises:
            WritingError: it cannot be written.
        """
        with _as_writing_error():
            self._writer.write(predictions, rejected)

    def wait(self) -> None:
        """Write everything to the disk.

        Raises:
            WritingError: it cannot be written.
        """
        with _as_writing_error():
            self._writer.close()


class InThreads:
    """Reads and scores in threads, and writes in another, at most `MAX_QUEUED` chunks behind the scoring.

    An error of writing is raised at the next call.
    """

    def __init__(self, writer: Writer):
        self._writer = writer
        self._queue: Queue[tuple[Predictions, pa.Table] | None] = Queue(MAX_QUEUED)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)
        self._thread.start()

    def score(self, scorer: ChunkScorer, chunks: Iterator[Chunk]) -> Iterator[Scored]:
        """Score chunks, some of which are read ahead."""
        return score_in_threads(scorer, read_ahead(chunks))

    def write(self, predictions: Predictions, rejected: pa.Table) -> None:
        """Queue a chunk."""
        self._raise()
        self._queue.put((predictions, rejected))

    def wait(self) -> None:
        """Wait until everything is on the disk."""
        self._stop()
        self._raise()

    def discard(self) -> None:
        """Drop what is not written yet."""
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            self._stop()

    def _stop(self) -> None:
        """End the thread once it has written what is queued."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (tables := self._queue.get()) is not None:
            if self._error is None:
                self._attempt(lambda tables=tables: self._writer.write(*tables))  # type: ignore[misc]
        if self._error is None:
            self._attempt(self._writer.close)

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise WritingError(str(self._error)) from self._error


@contextmanager
def _as_writing_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise WritingError(str(error)) from error


def _put(queue: "Queue[Any]", item: Any, ended: threading.Event) -> bool:
    """Put an item into the queue; return False if nobody reads from it any more."""
    while not ended.is_set():
        try:
            queue.put(item, timeout=0.1)
            return True
        except Full:
            continue
    return False
