"""Stages in any order: a run ends with the figures of one whole run, or is refused."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane import stages
from torchlane.lineage import STAGES
from torchlane.pipeline_registry import Pipelines

from .projects import Project, make_rows

STEPS = st.tuples(
    st.sampled_from(
        [(), *((stage,) for stage in STAGES), ("train", "evaluate", "report"), ("prepare", "tune", "train")]
    ),
    st.sampled_from([0, 1]),  # split.seed
    st.sampled_from(["z_score", "min_max"]),  # encoding.numbers
    st.sampled_from([0, 1]),  # training.seed
    st.sampled_from([0, 0, 0, 1, 2]),  # nodes that a cut-off run does not come to
)


@cache
def reference(folder: Path, seed: int, numbers: str, training_seed: int) -> Any:
    """The metrics of one whole run from nothing."""
    made = Project(folder / f"{seed} {numbers} {training_seed}", make_rows())
    made.run(**options_for(seed, numbers, training_seed))
    return made.metrics()


def options_for(seed: int, numbers: str, training_seed: int) -> dict[str, Any]:
    return {"split": {"seed": seed}, "encoding": {"numbers": numbers}, "training": {"seed": training_seed}}


def check_sequence(folder: Path, steps: list[Any]) -> None:
    """Run stages after one another; whatever is evaluated has the metrics of one whole run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stages, "pipelines", Pipelines(["toy"]))
        number = len(list(folder.iterdir()))
        project = Project(folder / f"sequence {number}", make_rows())
        prepared = trained = None  # what the last run of the stage that came to its end was given
        for asked, seed, numbers, training_seed, n_left in steps:
            pipeline = Pipelines(["toy"])["toy"]
            chosen = pipeline.only_nodes_with_tags(*asked) if asked else pipeline
            names = [node.name.rpartition(".")[2] for node in chosen.nodes]
            names = names[: len(names) - n_left] or names
            before = project.artifacts()
            given = options_for(seed, numbers, training_seed)
            try:
                project.run(nodes=names, **given)
            except ValueError as error:
                assert "run the stage" in str(error)
                if not asked or asked[0] == "prepare":
                    raise AssertionError(f"{asked} makes all that it takes, and was refused") from error
                assert project.artifacts() == before
                continue
            prepared = seed if "split_rows" in names else prepared
            trained = (numbers, training_seed) if "train_model" in names else trained
            if "evaluate_model" in names:
                assert project.metrics() == reference(folder, prepared, *trained)
        shutil.rmtree(project.folder)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sequences")


@settings(max_examples=8, deadline=None)
@given(steps=st.lists(STEPS, min_size=2, max_size=5))
def test_stage_after_stage_ends_as_one_whole_run_or_is_refused(sequences, steps):
    check_sequence(sequences, steps)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEPS, min_size=2, max_size=8))
def test_stage_after_stage_ends_as_one_whole_run_or_is_refused_in_many_orders(sequences, steps):
    check_sequence(sequences, steps)
