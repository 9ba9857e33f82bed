"""A small use case whose stages are run one by one."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner, ThreadRunner

from tests.commands import PROJECT
from torchlane.core.options import SECTIONS
from torchlane.hooks import RunHooks
from torchlane.pipeline_registry import Pipelines
from torchlane.stages import LineageHooks

OPTIONS: Mapping[str, Any] = {
    "data": {
        "task": "regression",
        "target": "price",
        "columns": {"size": {"kind": "number"}, "place": {"kind": "category"}},
        "source": "drawn rows",  # without it, artifacts name the folder of the test
    },
    "model": {"widths": [4]},
    "training": {"members": 1, "epochs": 2, "batch_size": 16},
    "diagnosis": {"enabled": False},
    "fine_tuning": {"epochs": 2, "batch_size": 16, "repeats": 2, "source": "drawn rows"},
}


def make_rows() -> pd.DataFrame:
    """Give 60 rows whose price follows from size and place."""
    sizes = range(1, 61)
    places = ["town", "village", "sea"] * 20
    prices = [100 * size * (2 if place == "town" else 1) for size, place in zip(sizes, places, strict=True)]
    return pd.DataFrame({"size": sizes, "place": places, "price": prices})


class Project:
    """A use case `toy` in a folder, run as Kedro's session runs one, hooks included, without its start."""

    def __init__(self, folder: Path, rows: pd.DataFrame):
        self.folder = folder
        self.raw = folder / "raw"
        self.raw.mkdir(parents=True)
        rows.to_csv(self.raw / "toy.csv", index=False)
        rows.iloc[::-1].to_csv(self.raw / "toy_new.csv", index=False)

    def run(
        self,
        *stages: str,
        kind: str = "",
        nodes: Iterable[str] = (),
        missing: bool = False,
        threads: bool = False,
        **options: Any,
    ) -> None:
        """Run stages, all or those named, or nodes alone; `options` are by section."""
        pipeline = Pipelines(["toy"])[f"toy{kind}"]
        pipeline = pipeline.only_nodes_with_tags(*stages) if stages else pipeline
        if nodes:
            pipeline = pipeline.only_nodes(*(node.name for node in pipeline.nodes if node.func.__name__ in set(nodes)))
        catalog, manager = self.catalog(**options), _create_hook_manager()
        _register_hooks(manager, self.hooks())
        about = {"run_params": {"only_missing_outputs": missing}, "pipeline": pipeline, "catalog": catalog}
        manager.hook.before_pipeline_run(**about)
        runner = ThreadRunner() if threads else SequentialRunner()
        try:
            runner.run(pipeline, catalog, manager, only_missing_outputs=missing)
        except Exception as error:
            manager.hook.on_pipeline_error(error=error, **about)
            raise
        manager.hook.after_pipeline_run(run_result={}, **about)

    def hooks(self) -> tuple[Any, ...]:
        return RunHooks(), LineageHooks()

    def catalog(self, **options: Any) -> DataCatalog:
        """Give the catalog of the environment `base` with the parameters of `OPTIONS` and `options`."""
        roots = {"output_root": str(self.folder / "out"), "raw_root": str(self.raw)}
        loader = OmegaConfigLoader(
            str(PROJECT / "conf"),
            base_env="base",
            default_run_env="base",
            runtime_params=roots,
            custom_resolvers={"environment": lambda: ""},
        )
        entries = {name: entry for name, entry in loader["catalog"].items() if not name.startswith("_")}
        catalog = DataCatalog.from_config(entries)
        for name, section in SECTIONS.items():
            given = {**OPTIONS.get(name, {}), **options.get(name, {})}
            catalog[f"params:toy.{name}"] = section.model_validate(given)
        return catalog

    def metrics(self, name: str = "metrics") -> Any:
        return json.loads((self.folder / f"out/08_reporting/toy/{name}.json").read_text())

    def artifacts(self) -> dict[str, bytes]:
        """What stands in the output folder, records and locks left out."""
        files = (path for path in self.folder.glob("out/*/toy/*") if path.is_file() and path.name[0] != ".")
        return {str(path): path.read_bytes() for path in files}


def refusal(project: Project, *stages: str, **options: Any) -> str:
    """Run what must be refused, and harm nothing; give the line."""
    before, unfinished = project.artifacts(), project.folder / "out/06_models/toy/.unfinished.json"
    was_unfinished = unfinished.exists()
    with pytest.raises(ValueError, match=r"^toy") as refused:
        project.run(*stages, **options)
    assert project.artifacts() == before
    assert unfinished.exists() == was_unfinished
    line = str(refused.value)
    assert "\n" not in line
    return line
