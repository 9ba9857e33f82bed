"""States of an unfinished training, as safetensors files with JSON for everything that is not a tensor."""

import json
import logging
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from torchlane.core.machine.checkpoints import State
from torchlane.core.machine.files import replacing
from torchlane.datasets.in_words import preview_files

logger = logging.getLogger(__name__)


class CheckpointsDataset(AbstractDataset[NoReturn, "FolderStore"]):
    """A folder of checkpoints; loading it returns a store that the training writes to.

    Args:
        filepath: the folder.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._folder = Path(filepath)
        self.metadata = metadata

    def load(self) -> "FolderStore":
        return FolderStore(self._folder)

    def save(self, data: NoReturn) -> None:
        raise DatasetError("checkpoints are written during training, through the store that load() returns")

    def preview(self) -> TablePreview:
        """Show the states of unfinished trainings."""
        return preview_files(self._folder.glob("*.safetensors"), "no training is unfinished")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}


class FolderStore:
    """Checkpoints of one use case in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._opened = False

    def of_run(self, identity: str) -> "FolderCheckpoints":
        """Open the checkpoints of one training."""
        self._opened = True
        return FolderCheckpoints(self._folder, identity)

    def clear(self) -> None:
        """Remove the states of interrupted trainings, if a training was opened here; call it when that has ended."""
        left = sorted(self._folder.glob("*.safetensors")) if self._opened else []
        for path in left:
            path.unlink(missing_ok=True)
        if left:
            logger.info("removed %d checkpoints of other, interrupted trainings from %s", len(left), self._folder)


class FolderCheckpoints:
    """The last two states of one training, so that it can resume even if the newest one is damaged.

    The folder also holds the last state of every other interrupted training, set aside until that one resumes.
    """

    def __init__(self, folder: Path, identity: str):
        self._identity = identity
        self._latest = folder / "latest.safetensors"
        self._before = folder / "before.safetensors"

    def load(self) -> State | None:
        """Return the newest intact state of this training, if there is one; set those of other trainings aside."""
        found = None
        for path in (self._latest, self._before, self._aside(self._identity)):
            if not path.exists():
                continue
            try:
                identity, state = _read(path)
            except ValueError as error:
                logger.warning("checkpoint %s is damaged and ignored: %s", path, error)
                continue
            if identity == self._identity:
                return state
            if identity == found:
                path.unlink()  # an older state of the training that has just been set aside
                continue
            found = identity
            path.replace(self._aside(identity))
            logger.warning(
                "checkpoint %s belongs to other data or options; set aside as %s", path, self._aside(identity).name
            )
        return None

    def save(self, state: State) -> None:
        """Write a state atomically, and keep the previous one."""
        with replacing(self._latest) as partial:
            _write(state, self._identity, partial)
            if self._latest.exists():
                self._latest.replace(self._before)

    def retire(self) -> None:
        """Remove the states of a finished training."""
        for path in (self._latest, self._before, self._aside(self._identity)):
            path.unlink(missing_ok=True)

    def _aside(self, identity: str) -> Path:
        return self._latest.with_name(f"set_aside_{identity[:12]}.safetensors")


def _write(state: State, identity: str, path: Path) -> None:
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_pack(state, tensors, set()))
    try:
        save_file(tensors, path, metadata={"identity": identity, "tree": tree})
    except SafetensorError as error:  # raised when the disk is full, for example
        raise OSError(f"{path.parent}: {error}") from error


def _read(path: Path) -> tuple[str, State]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = _unpack(json.loads(header["tree"]), file)
    except (SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from error
    return header["identity"], state


def _pack(value: Any, tensors: dict[str, Tensor], memory: set[int]) -> Any:
    """Turn nested containers into JSON; each tensor goes into `tensors` under a number.

    Their memory is not copied, since a state may fill a good part of it. Only views and repeated tensors are copied:
    safetensors writes no two tensors that share `memory`.
    """
    if isinstance(value, Tensor):
        tensor = value.detach().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in memory or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        memory.add(tensor.untyped_storage().data_ptr())
        tensors[str(len(tensors))] = tensor
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, dict):
        return {"dict": [[_pack(key, tensors, memory), _pack(each, tensors, memory)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_pack(each, tensors, memory) for each in value]}
    if isinstance(value, list):
        return [_pack(each, tensors, memory) for each in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds tensors, numbers, text and containers of them, not {type(value).__name__}")


def _unpack(packed: Any, file: Any) -> Any:
    if isinstance(packed, list):
        return [_unpack(each, file) for each in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return file.get_tensor(content).clone()
    if kind == "tuple":
        return tuple(_unpack(each, file) for each in content)
    return {_unpack(key, file): _unpack(each, file) for key, each in content}
