"""Searches on the toy rows, for the tests of this folder."""

import json
from collections.abc import Callable
from typing import Any

import optuna
import pandas as pd
import pytest

from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import Recipe, TuningOptions
from torchlane.core.search import candidates
from torchlane.core.search import search as searching
from torchlane.core.search.chosen import apply_chosen
from torchlane.core.search.ground import Ground
from torchlane.core.search.search import choose_options
from torchlane.core.training.members import Outcome
from torchlane.core.training.optimizers import optimizer_defaults, scheduler_defaults

N_TRAIN = 36  # of the toy rows
RATES = {"training.learning_rate": {"low": 1e-3, "high": 0.1, "log": True}}
WIDTHS = {"model.widths": {"choices": [[8], [16]]}}


class Memory:
    """Studies that end with the process."""

    def __init__(self) -> None:
        self.worker = ""

    def open(self, storage: str | None, identity: dict[str, str]) -> optuna.Study:
        self.study = optuna.create_study(direction="maximize")
        return self.study

    def found(self) -> None:
        return None


def search(ground: Ground, store: Any = None, checkpoints: Any = None):
    return choose_options(ground, store or Memory(), checkpoints or NoCheckpoints())


def without_seconds(leaderboard: pd.DataFrame) -> list[dict]:
    return leaderboard.drop(columns="seconds").fillna("").to_dict("records")


def apply(chosen: dict, what: Ground, **options: Any) -> Recipe:
    options = TuningOptions.model_validate({**what.options.model_dump(), **options})
    return apply_chosen(chosen, what.clean_rows, what.splits, what.data, what.recipe, options)


def record_recipes(patch: pytest.MonkeyPatch) -> list[Recipe]:
    """Keep what each trial is built of, in the order of the trials; `changed` makes the recipe of a trial."""
    kept, make = [], candidates.make_members
    changed = Recipe.changed

    def made(build, train, valid, objective, training, device):
        kept[-1] = kept[-1].model_copy(update={"model": build.args[0], "training": kept[-1].training})
        return make(build, train, valid, objective, training, device)

    def noted(recipe: Recipe, values: dict) -> Recipe:
        kept.append(changed(recipe, values))
        return kept[-1]

    build = candidates.CandidateBuilder.build

    def built(builder: Any, trial: Any, values: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Recipe, "changed", noted)
            inner.setattr(candidates, "make_members", made)
            return build(builder, trial, values)

    patch.setattr(candidates.CandidateBuilder, "build", built)
    return kept


def assert_trains_the_same(recipe: Recipe, other: Recipe) -> None:
    """Compare two recipes, where what is not set has its default, or what the rows of train choose."""

    def whole(recipe: Recipe) -> dict:
        named = recipe.model_dump(mode="json", exclude={"trials"})
        training = named["training"]
        training["optimizer"]["arguments"] = {
            **optimizer_defaults(recipe.training.optimizer),
            **recipe.training.optimizer.arguments,
        }
        if recipe.training.scheduler:
            training["scheduler"]["arguments"] = {
                **scheduler_defaults(recipe.training.scheduler),
                **recipe.training.scheduler.arguments,
            }
        columns = {"size": recipe.encoding.numbers, "place": recipe.encoding.categories}
        named["encoding"]["columns"] = {**columns, **recipe.encoding.columns}
        return json.loads(json.dumps(named))

    assert whole(recipe.fitted(N_TRAIN, is_table=True)) == whole(other.fitted(N_TRAIN, is_table=True))


def fake_outcome(scores: list[float], losses: list[float] | None = None) -> Outcome:
    """What a training would leave whose valid score went like this."""
    losses = losses or [-score for score in scores]
    history = [
        {"epoch": number + 1, "valid_r2_score": score, "valid_loss": loss, "seconds": 0.0}
        for number, (score, loss) in enumerate(zip(scores, losses, strict=True))
    ]
    return Outcome(weights={}, history=history, kept=min(history, key=lambda line: line["valid_loss"]), error="")


def fake_training(patch: pytest.MonkeyPatch, draw: Callable[[], float], n_rows: int = 9) -> None:
    """Let every trial reach a score that is drawn, without training it; all rows of valid agree on it."""
    patch.setattr(searching, "fit", lambda members, *_, **__: [fake_outcome([draw()]) for _ in members])

    def score_rows(ground: Ground, candidate: object, outcomes: list[Outcome]) -> dict:
        scores = [outcomes[0]["kept"]["valid_r2_score"]] * n_rows
        return {"scores": scores, "rows": n_rows, "worth": float(n_rows)}

    patch.setattr(searching, "score_rows", score_rows)
