"""Parameter files, read one by one, so that a fault in one file does not stop the use cases of the others."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml.error import MarkedYAMLError, YAMLError

from torchlane.datasets.paths import shown
from torchlane.yaml_text import load_parameters

SUFFIXES = (".yml", ".yaml", ".json")
REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*\$\{")  # `${` that no backslash escapes

Options = dict[str, Any]

_wanted: ContextVar[frozenset[str] | None] = ContextVar("wanted use cases", default=None)


@contextmanager
def only_use_cases(names: Iterable[str]) -> Iterator[None]:
    """Read only the parameters of these use cases, as far as nothing in them can refer to others; all for no names."""
    token = _wanted.set(frozenset(names) or None)
    try:
        yield
    finally:
        _wanted.reset(token)


class ParameterFilesLoader(OmegaConfigLoader):
    """Kedro's loader, except that each parameter file, and then each block, is read separately.

    Parameters are plain dictionaries throughout, since OmegaConf makes an object of each value: 3 s for 5,000
    columns. It resolves only text with `${…}`, and sees only the blocks that such text can refer to.

    A file `parameters/<use_case>.yml` may hold only the block of its use case. `broken` says in one line for
    each use case what is wrong with its file. The blocks of broken use cases are left out of the parameters, as are
    those of use cases that are not wanted; see `only_use_cases`.

    Raises:
        ValueError: on reading the parameters, if a parameter file outside that folder cannot be read.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        self.broken: dict[str, str] = {}
        super().__init__(*args, **kwargs)
        wanted = _wanted.get()
        self._read = None if wanted is None else wanted | {str(name) for name in self.runtime_params}
        if self._read is not None and (not self._read & {*self.use_cases()} or self._may_refer()):
            self._read = None

    def use_cases(self) -> list[str]:
        """List the use cases of base and of the run's environment in alphabetical order."""
        return sorted({path.stem for path in self._parameter_files()})

    def read_use_cases(self) -> list[str]:
        """List the use cases whose files are read."""
        return [name for name in self.use_cases() if self._read is None or name in self._read]

    def _may_refer(self) -> bool:
        """Say whether the parameters of the wanted use cases may have references, which may lead to other files."""
        given = _texts_of_references(self.runtime_params)
        files = (path for path in self._parameter_files() if self._is_wanted(path))
        return any(True for _ in given) or any(b"${" in path.read_bytes() for path in files if path.is_file())

    def _is_wanted(self, path: Path) -> bool:
        return self._read is None or path.stem in self._read or not self._is_of_use_case(path)

    def _parameter_files(self) -> Iterable[Path]:
        for env in dict.fromkeys((self.base_env, self.env or self.default_run_env)):
            folder = Path(self.conf_source) / env / "parameters"
            for path in sorted(folder.glob("*")):
                if path.suffix in SUFFIXES and not path.name.startswith("."):  # still being written
                    yield path

    def _refuse(self, use_case: str, reason: str) -> None:
        self.broken.setdefault(use_case, reason)

    def _refuse_block(self, name: str, reason: str) -> None:
        if name not in self.use_cases():  # a setting that all use cases share
            raise ValueError(reason)
        self._refuse(name, reason)

    def _read_dir_configs(
        self, conf_path: str, patterns: list[str], key: str, processed_files: set[Path], *args: Any
    ) -> dict[Path, Any]:
        if key != "parameters":
            return super()._read_dir_configs(conf_path, patterns, key, processed_files, *args)
        super()._read_dir_configs(conf_path, [], key, processed_files, *args)  # checks that the folder exists
        found = (Path(each) for pattern in patterns for each in self._fs.glob(f"{conf_path}/{pattern}"))
        files: dict[Path, Options] = {}
        for path in sorted(set(found)):
            if self._is_hidden(str(path)) or not self._is_valid_config_path(path) or not self._is_wanted(path):
                continue
            processed_files.add(path)
            try:
                files[path] = self._read_file(path)
            except ValueError as error:
                self._refuse_file(path, str(error))
        for path, config in files.items():
            self._check_names(path, config)
        self._check_overlaps(files)
        return files

    def _read_file(self, path: Path) -> Options:
        place = shown(path)
        try:
            with self._fs.open(path.as_posix()) as stream:
                text = stream.read().decode("utf-8")
            content = load_parameters(text)
        except UnicodeDecodeError as error:
            raise ValueError(f"{place} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
        except MarkedYAMLError as error:
            fault = f"{_fault_in_yaml(error)} (a text with special characters needs quotes)"
            raise ValueError(f"{place} is not valid YAML: {fault}; correct or remove it") from error
        except (YAMLError, OSError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{place} cannot be read: {in_one_line(error)}; correct or remove it") from error
        content = {} if content is None else {content: None} if isinstance(content, str) else content
        if not isinstance(content, dict):
            what = "a list" if isinstance(content, list) else f"{content!r} alone"
            raise ValueError(f"{place} must hold options by name, not {what}")
        return content

    def _refuse_file(self, path: Path, reason: str) -> None:
        if not self._is_of_use_case(path):
            raise ValueError(reason)
        self._refuse(path.stem, reason)

    def _is_of_use_case(self, path: Path) -> bool:
        return path.parent.name == "parameters" and path.stem in self.use_cases()

    def _check_names(self, path: Path, config: Options) -> None:
        if not self._is_of_use_case(path):
            return
        for name in map(str, config):
            if name != path.stem and name not in self["globals"]:
                reason = f"'{name}' in {shown(path)}: the file may hold only the block of its own use case"
                way_out = f"rename the block to {path.stem}, or move it to {path.with_stem(name).name}"
                for use_case in (path.stem, name):
                    self._refuse(use_case, f"{reason}, {path.stem}; {way_out}")

    def _check_overlaps(self, files: Mapping[Path, Options]) -> None:
        """Check that no two files of an environment set the same option."""
        owners: dict[str, Path] = {}
        for path, config in files.items():
            for option in self._get_all_keys(_as_text(config)):
                other = owners.setdefault(option, path)
                if other != path:
                    places = f"{shown(other)} and {shown(path)}"
                    self._refuse_block(option.split(".")[0], f"{option} is set in {places}; remove one of them")

    def _merge_and_resolve(self, key: str, config_per_file: Mapping[Path, Any]) -> dict[str, Any]:
        if key != "parameters" or not config_per_file:
            return super()._merge_and_resolve(key, config_per_file)
        merged: Options = {}
        for each in (*config_per_file.values(), self.runtime_params):
            merged = _merged(merged, {str(name): block for name, block in each.items()})
        resolved: dict[str, Any] = {}
        for name in merged:
            try:
                resolved[name] = _resolved(name, merged)
            except OmegaConfBaseException as error:
                reason = (
                    f"'{name}' in {self._where(name)} refers to something that does not exist: {in_one_line(error)}"
                )
                if name in self.runtime_params:
                    raise ValueError(reason) from error
                self._refuse_block(name, reason)
        return resolved

    def _merge_configs(self, config: dict[str, Any], env_config: dict[str, Any], key: str, env_path: str) -> Any:
        if key != "parameters":
            return super()._merge_configs(config, env_config, key, env_path)
        merged = _merged(config, env_config)
        return {name: block for name, block in merged.items() if name not in self.broken}

    def _where(self, *keys: str) -> str:
        """Say where the user has set a parameter, or can set it."""
        given: Any = self.runtime_params
        for key in keys:
            given = given.get(key) if isinstance(given, Mapping) else given  # an element of a list is given with it
        if given is not None:
            return "--params"
        files = [str(shown(path)) for path in self._parameter_files() if path.stem == keys[0]]
        return " or ".join(files) or f"{self.conf_source}/*/parameters"


def _merged(base: Options, over: Options) -> Options:
    """Set options over others, group by group; a value, or a list as a whole, replaces the one before."""
    merged = dict(base)
    for name, value in over.items():
        before = merged.get(name)
        merged[name] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _resolved(name: str, blocks: Options) -> Any:
    """Resolve all `${…}` of a block, which may refer to other blocks.

    Raises:
        OmegaConfBaseException: a reference is not complete, or what it refers to does not exist.
    """
    texts = list(_texts_of_references(blocks[name]))
    if not any(map(REFERENCE.search, texts)):
        return _unescaped(blocks[name]) if texts else blocks[name]
    seen = {name: blocks[name]}
    while texts:
        found = [each for each in blocks if each not in seen and any(_names(text, each) for text in texts)]
        seen |= {each: blocks[each] for each in found}
        texts = [text for each in found for text in _texts_of_references(blocks[each])]
    node = OmegaConf.create(seen)[name]
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _texts_of_references(content: Any) -> Iterator[str]:
    """Yield each text with `${` in it, except in names."""
    if isinstance(content, str):
        if "${" in content:
            yield content
    elif isinstance(content, (dict, list)):
        for each in content.values() if isinstance(content, dict) else content:
            yield from _texts_of_references(each)


def _names(text: str, block: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(block)}(?!\w)", text))


def _unescaped(content: Any) -> Any:
    """Remove the backslashes that escape `${` in texts, as OmegaConf does."""
    if isinstance(content, dict):
        return {key: _unescaped(each) for key, each in content.items()}
    if isinstance(content, list):
        return [_unescaped(each) for each in content]
    return OmegaConf.create([content])[0] if isinstance(content, str) and "${" in content else content


def _fault_in_yaml(error: MarkedYAMLError) -> str:
    mark = error.problem_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}{error.problem or error.context}"


def _as_text(content: Any) -> Any:
    """Turn all keys into text, since YAML allows numbers as keys."""
    return {str(key): _as_text(value) for key, value in content.items()} if isinstance(content, dict) else content


def in_one_line(error: Exception) -> str:
    """Return the first line of the text of an error."""
    return next(iter(str(error).splitlines()), type(error).__name__)
