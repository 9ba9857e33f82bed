"""Whether fine-tuning helped: the parent, a model trained from scratch and the fine-tuned one on the same rows."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.encoding.tensors import build_tensors, fingerprint
from torchlane.core.judging.classes import Scores
from torchlane.core.judging.evaluation import score, shown_score
from torchlane.core.machine.checkpoints import CheckpointStore, NoCheckpoints
from torchlane.core.machine.naming import naming
from torchlane.core.model.learned import learned_parts
from torchlane.core.model.learning import Lesson, train_models
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import DataOptions, FineTuningOptions, Recipe, SplitOptions, shown_number
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.splits import rows_of
from torchlane.core.tasks.tasks import TASKS
from torchlane.core.transfer.fine_tuning import fine_tune, make_lesson
from torchlane.core.transfer.new_rows import data_for, split_new_rows

logger = logging.getLogger(__name__)

CONTENDERS = ("parent", "scratch", "fine_tuned")
SEEDS_APART = 1000  # distance between the seeds of one repeat and the next


def compare(
    parent: TrainedModel,
    fine_tuned: TrainedModel,
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    data: DataOptions,
    split: SplitOptions,
    recipe: Recipe,
    options: FineTuningOptions,
    checkpoints: CheckpointStore,
) -> list[dict[str, Any]]:
    """Score parent, scratch and fine-tuned on the test part of each of `options.repeats` splits of the new rows.

    Each line has `repeat`, `model` and the task's metrics. The first repeat is the split that `fine_tuned` was
    trained with; each further repeat splits the rows and fine-tunes the parent again. There is none with
    `split.order_by`, which splits in one way. `scratch` is trained on
    the same train and valid rows, by `recipe`. All models that are
    trained here are stacked if their shapes allow.

    Raises:
        ValueError: `fine_tuned` was made from another parent.
    """
    _require_parent(parent, fine_tuned)
    data = fine_tuned.encoder.target.keep_positive(data)
    adapted = data_for(parent, data, options)
    dealt = [splits]
    if split.order_by is None:
        dealt += [split_new_rows(clean_rows, adapted, split, options, each) for each in range(1, options.repeats)]
    elif options.repeats > 1:
        logger.info("comparison: over one split, since split.order_by '%s' splits in one way", split.order_by)
    tuned = [fine_tuned]
    source = str(clean_rows.attrs.get("source", ""))
    if len(dealt) > 1:
        lessons = []
        for number, each in enumerate(dealt[1:], start=1):
            own = options.model_copy(update={"seed": options.seed + SEEDS_APART * number})
            lessons.append(make_lesson(parent, clean_rows, each, data, recipe.encoding, recipe.training, own))
        with naming("comparison, fine-tuned again"):
            tuned += [each for each, _ in fine_tune(parent, lessons, data, options, NoCheckpoints(), source)]
    lessons = [_scratch_lesson(clean_rows, each, adapted, recipe, number) for number, each in enumerate(dealt)]
    with naming("comparison, from scratch"):
        scratch = [each for each, _ in train_models(lessons, adapted, recipe.model, checkpoints, source)]
    lines = []
    for repeat, each in enumerate(dealt):
        test = rows_of("test", clean_rows, each)
        models = dict(zip(CONTENDERS, (parent, scratch[repeat], tuned[repeat]), strict=True))
        target = tuned[repeat].encoder.target
        lines += [
            {"repeat": repeat, "model": name, **score_on(test, each, target, data.weight)}
            for name, each in models.items()
        ]
    return lines


def score_on(rows: pd.DataFrame, model: TrainedModel, target: TargetEncoder, weight: str | None = None) -> Scores:
    """Score a model on clean rows for the classes of `target`. A class unknown to the model has probability 0.

    `weight` names the column that says how much each row counts.
    The result is empty if there are no rows, or if only one of the model and `target` is a regression.
    """
    own = model.encoder.target
    if not len(rows) or ("regression" in (own.task, target.task) and own.task != target.task):
        return {}
    features = torch.from_numpy(model.encoder.encode_features(rows))
    prediction = model.joint_prediction(model.member_predictions(features))
    values = rows[target.name]
    weights = None if weight is None else torch.tensor(rows[weight].to_numpy("float64"))
    if target.task == "regression":
        return score(model.task, prediction, torch.tensor(values.to_numpy("float64")), weights)
    truth = torch.from_numpy(target.label_index(values))
    return score(TASKS[target.task], _by_labels(prediction, own, target), truth, weights)


def _by_labels(probabilities: Tensor, own: TargetEncoder, target: TargetEncoder) -> Tensor:
    """Rearrange probabilities (n_rows, own labels) to the labels of `target`; a row that knows none is uniform."""
    known = pd.Index(own.labels).get_indexer(pd.Index(target.labels))
    padded = torch.cat([probabilities, probabilities.new_zeros(len(probabilities), 1)], dim=1)
    found = padded[:, torch.from_numpy(np.where(known >= 0, known, len(own.labels)))]
    total = found.sum(1, keepdim=True)
    return torch.where(total > 0, found / total, 1 / len(target.labels))


def summarise(table: pd.DataFrame, primary: str) -> dict[str, Any]:
    """Compute each contender's mean and standard deviation over repeats, and the lead of the fine-tuned model.

    `ahead` compares the primary metric repeat by repeat: mean and standard deviation of the difference, and
    the repeats won. For an error or a loss, lower is better.
    """
    metrics = [str(name) for name in table.columns.drop(["repeat", "model"])]
    summary: dict[str, Any] = {"primary_metric": primary, "repeats": int(table["repeat"].max()) + 1, "models": {}}
    for name in CONTENDERS:
        own = table[table["model"] == name]
        summary["models"][name] = {metric: _mean_and_spread(own[metric].astype("float64")) for metric in metrics}
    if primary not in table:
        return {**summary, "ahead": {}}
    by_repeat = table.pivot(index="repeat", columns="model", values=primary).astype("float64")
    sign = 1 if primary.endswith("_score") else -1
    ahead = {}
    for name in CONTENDERS[:2]:
        difference = sign * (by_repeat["fine_tuned"] - by_repeat[name]).dropna()
        if len(difference):
            ahead[name] = {**_mean_and_spread(difference), "won": int((difference > 0).sum())}
    return {**summary, "ahead": ahead}


def describe_forgetting(parent: TrainedModel, fine_tuned: TrainedModel, old: pd.DataFrame | None) -> dict[str, Any]:
    """Score both models on the parent's own test rows, or give the `reason` why that is not possible.

    `old` holds the parent's clean rows with their `part`, as its pipeline wrote them.
    """
    own = parent.encoder.target
    if old is None:
        return {"reason": "there are no rows beside the parent's model"}
    try:
        learned = build_tensors(_learned_rows(parent, old), parent.encoder)
        same = fingerprint(learned) == parent.details.get("data_fingerprint")
    except (KeyError, ValueError):
        same = False
    if not same:
        return {"reason": "the rows beside the parent's model are not those that it was trained on"}
    test = old[old["part"] == "test"].reset_index(drop=True)
    models = {"parent": parent, "fine_tuned": fine_tuned}
    scores = {name: score_on(test, model, own, parent.encoder.weight) for name, model in models.items()}
    return {"rows": len(test), **scores}


def _learned_rows(parent: TrainedModel, old: pd.DataFrame) -> pd.DataFrame:
    """Select the rows that the parent was trained on, in the order of its tensors."""
    return pd.concat([old[old["part"] == part] for part in learned_parts(parent)])


def count_known(
    parent: TrainedModel, clean_rows: pd.DataFrame, splits: pd.DataFrame, old: pd.DataFrame | None, data: DataOptions
) -> int | None:
    """Count the new test rows that the parent was trained on, target included. None if its rows are unknown."""
    names = [*data.feature_columns, data.target]
    if old is None or not set(names) <= set(old):
        return None
    trained = _learned_rows(parent, old)[names].drop_duplicates()
    test = rows_of("test", clean_rows, splits)
    return int(test[[ROW, *names]].merge(trained, on=names)[ROW].nunique())


def judge(
    parent: TrainedModel,
    fine_tuned: TrainedModel,
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    scores: pd.DataFrame,
    old: pd.DataFrame | None,
) -> dict[str, Any]:
    """Compute `comparison`, `forgetting`, `known_to_parent`, `parent` and `fine_tuning` of the metrics; log them.

    `scores` are the lines of `compare`. `old` are the parent's rows with their `part`, if they are known.

    Raises:
        ValueError: `fine_tuned` was made from another parent.
    """
    _require_parent(parent, fine_tuned)
    summary = summarise(scores, fine_tuned.task.primary_metric)
    forgetting = describe_forgetting(parent, fine_tuned, old)
    known = count_known(parent, clean_rows, splits, None if "reason" in forgetting else old, fine_tuned.data)
    _log_comparison(summary, forgetting, known, fine_tuned.data.target_unit)
    details = {name: fine_tuned.details[name] for name in ("parent", "fine_tuning")}
    return {"comparison": summary, "forgetting": forgetting, "known_to_parent": known, **details}


def _require_parent(parent: TrainedModel, fine_tuned: TrainedModel) -> None:
    if fine_tuned.details["parent"]["fingerprint"] != parent.fingerprint:
        raise ValueError(
            "the fine-tuned model was made from another parent than fine_tuning.parent names now; "
            "run the stage train of fine-tuning again, or set the former parent"
        )


def _log_comparison(summary: Mapping[str, Any], forgetting: Mapping[str, Any], known: int | None, unit: str) -> None:
    """Log the comparison, and what was forgotten."""
    primary = summary["primary_metric"]
    for name, metrics in summary["models"].items():
        shown = ", ".join(
            f"{shown_score(metric, value['mean'], unit)} ± {shown_number(value['spread'], 2)}"
            for metric, value in metrics.items()
            if value
        )
        logger.info(
            "%-10s on the held-out new rows, %d repeats: %s", name, summary["repeats"], shown or "not comparable"
        )
    for name, ahead in summary["ahead"].items():
        logger.info(
            "fine-tuned ahead of %s: %s by %s%s ± %s, in %d of %d",
            name, primary, "+" * (ahead["mean"] >= 0), shown_number(ahead["mean"]), shown_number(ahead["spread"], 2),
            ahead["won"], summary["repeats"],
        )  # fmt: skip
    if "reason" in forgetting:
        logger.info("forgetting was not measured: %s", forgetting["reason"])
    else:
        logger.info(
            "on the parent's own %d test rows: %s of the parent %s, of the fine-tuned model %s",
            forgetting["rows"], primary, shown_number(forgetting["parent"].get(primary)),
            shown_number(forgetting["fine_tuned"].get(primary)),
        )  # fmt: skip
    if known:
        logger.warning(
            "%d of the held-out new rows are among the rows that the parent was trained on, so its score is too good",
            known,
        )


def _mean_and_spread(values: pd.Series) -> dict[str, float]:
    known = values.dropna()
    return {"mean": float(known.mean()), "spread": float(known.std(ddof=0))} if len(known) else {}


def _scratch_lesson(
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    data: DataOptions,
    recipe: Recipe,
    number: int,
) -> Lesson:
    parts = {part: rows_of(part, clean_rows, splits) for part in ("train", "valid")}
    encoder = fit_encoder(parts["train"], data, recipe.encoding)
    own = recipe.training.model_copy(update={"seed": recipe.training.seed + SEEDS_APART * number})
    return Lesson(build_tensors(parts["train"], encoder), build_tensors(parts["valid"], encoder), encoder, own)
