"""What a good colleague would say of the data and the training, and where the model fails."""

from collections.abc import Iterable
from typing import Any

from torchlane.core.options import shown_number
from torchlane.core.options.automatic import AUTO
from torchlane.core.search.option_importances import REASON
from torchlane.core.tasks.tasks import TASKS
from torchlane.reporting.facts.artifacts import Artifacts, Facts
from torchlane.reporting.facts.wording import amount, counted, in_words, listed, percent, sentence, shown_option, table

MOST_DRIVERS = 20
MOST_FAILURES = 10
NOTABLE = 2.0  # standard errors above the mean


def find_warnings(artifacts: Artifacts) -> Facts:
    """List the warnings of the data and the findings of the training, each with what to do."""
    warnings = [
        {
            "code": each["code"],
            "title": each["title"],
            "text": sentence(in_words(each["warning"])),
            "remedy": sentence(in_words(each["remedy"])),
        }
        for each in artifacts.warnings["warnings"]
    ]
    findings = [
        {
            "code": each["name"],
            "title": each["name"].replace("_", " ").capitalize(),
            "text": sentence(each["finding"]),
            "remedy": f"Try: {'; '.join(each['remedies'])}.",
        }
        for each in artifacts.diagnosis["findings"]
    ]
    checked = len(artifacts.warnings["checked"])
    watched = "was diagnosed" if artifacts.diagnosis["enabled"] else "was not diagnosed (diagnosis.enabled is false)"
    none = f"{counted(checked, 'check')} of the data and the model found nothing. " if not warnings else ""
    quiet = ", and nothing was found" if artifacts.diagnosis["enabled"] and not findings else ""
    return {
        "warnings": warnings,
        "findings": findings,
        "said": f"{none}The training {watched}{quiet}.",
        "not_checked": [(code, why) for code, why in artifacts.warnings["not_checked"].items()],
    }


def find_drivers(artifacts: Artifacts) -> Facts:
    """Rank the features by what the model loses without them."""
    found, about = artifacts.feature_importances, artifacts.explanation
    if about["reason"] is not None:
        unranked = f"The features were not ranked, since {about['reason']}."
        return {"said": [unranked], "table": None, "top": [], "strongest": unranked}
    strongest = _about_strongest(artifacts)
    said = [
        f"Importance is how much {in_words(about['metric'])} on {about['part']} falls when the values of a feature are "
        f"shuffled among the rows, so that the model has to do without it. Features that say the same share their "
        f"importance.",
        strongest,
    ]
    if about["part"] == "valid" and artifacts.refit:
        said.append("The model was trained on these rows too, so features may seem more important than they are.")
    if about["left_out"]:
        said.append(f"{counted(about['left_out'], 'feature')} were left out, since there are too many to permute each.")
    rows = zip(
        found["feature"],
        found["importance"],
        _numbers(found["over_repeats"]),
        _numbers(found["over_members"]),
        strict=True,
    )
    columns = ["feature", "importance", "spread over repeats", "spread over members"]
    return {
        "said": said,
        "table": table(columns, rows, MOST_DRIVERS),
        "top": [str(name) for name in found["feature"][:3]],
        "strongest": strongest,
    }


def _about_strongest(artifacts: Artifacts) -> str:
    found = artifacts.feature_importances
    spreads = [spread or 0.0 for spread in _numbers(found["over_repeats"])]
    telling = found["feature"][found["importance"] > spreads]
    return f"What counts most: {listed(telling.head(3))}." if len(telling) else "No feature stands out."


def _numbers(values: Iterable[Any]) -> list[float | None]:
    """Read numbers of a CSV file, in which an empty text is no number."""
    return [float(value) if value not in ("", None) else None for value in values]


def find_failures(artifacts: Artifacts) -> Facts:
    """Say which groups of rows are predicted worse than others, and list the largest mistakes."""
    found, unit = artifacts.failures, artifacts.unit
    regression = artifacts.data.task == "regression"
    notable = found[found["standard_errors"] > NOTABLE]
    what = "average error" if regression else "wrong"
    rows = [
        (feature, group, n_rows, _error(float(error), regression, unit), float(above))
        for feature, group, n_rows, error, above in notable[
            ["feature", "group", "rows", "error", "standard_errors"]
        ].to_numpy(dtype=object)
    ]
    overall = None if found.empty else _error(float(found["overall"].iloc[0]), regression, unit)
    return {
        "said": _about_groups(artifacts, len(notable), overall),
        "groups": table(["feature", "level or range", "rows", what, "standard errors above"], rows, MOST_FAILURES),
        "mistakes": _mistakes(artifacts),
        "confused": _confused(artifacts),
    }


def _error(value: float, regression: bool, unit: str) -> str:
    return amount(value, unit) if regression else percent(value)


def _about_groups(artifacts: Artifacts, n_notable: int, overall: str | None) -> str:
    if artifacts.judged != "test":
        return "There are no rows of test to fail on."
    if overall is None:
        if any(column.kind == "image" for column in artifacts.data.feature_columns.values()):
            return "Images have no levels or ranges to compare; see the mistakes."
        return "No level or range of a feature is predicted worse than the average row."
    if not n_notable:
        return f"No level or range of a feature is clearly worse than the average of {overall}."
    average = f"the average is {overall}" if artifacts.data.task == "regression" else f"{overall} are wrong"
    once = ", each counted once," if "weight" in artifacts.metrics else ""
    return (
        f"Over all rows of test{once} {average}. These levels and ranges do worse. Many were compared, so one that is "
        f"only 2 to 3 standard errors above the average may be there by chance."
    )


def _mistakes(artifacts: Artifacts) -> Facts | None:
    mistakes = artifacts.mistakes
    if mistakes.empty:
        return None
    names = [str(name) for name in mistakes][:12]  # as many columns as can be read
    if artifacts.data.task == "regression":  # a file of labels is read as text
        mistakes = mistakes.astype({"truth": "float64", "prediction": "float64"})
    rows = mistakes[names].itertuples(index=False)
    return {**table(names, rows, 20), "columns_more": max(0, mistakes.shape[1] - len(names))}


def _confused(artifacts: Artifacts) -> str:
    """Name the classes that are never predicted, of those that test has."""
    classes = artifacts.metrics.get("classes", {})
    never = [label for label, each in classes.items() if each["precision"] is None and each["rows"]]
    return f"Never predicted: {listed(never)}." if never else ""


def find_training(artifacts: Artifacts) -> Facts:
    """Say what was trained, for how long, and what the diagnosis measured."""
    recipe, provenance, history = artifacts.recipe, artifacts.provenance, artifacts.history
    model, training = recipe.model, recipe.training
    kept = history.loc[history["members_kept"] > 0, "epoch"]
    epochs = len(history)
    fitted = {"learning_rate": training.learning_rate, **provenance["by_rows"]}  # an earlier version did not fit it
    about = [
        ("network", str(model.kind) if model.name is None else f"{model.name} of torchvision"),
        ("layers of a member", str(artifacts.diagnosis["capacity"])),
        ("members", _members(provenance["members"])),
        ("epochs", f"{epochs} of at most {fitted['epochs']}{_kept(kept)}"),
        *_about_refit(artifacts),
        ("time" + " before the refit" * bool(artifacts.refit), f"{shown_number(float(history['seconds'].sum()), 3)} s"),
        ("device", f"{provenance['device']}, {counted(provenance.get('threads') or 1, 'thread')}"),
        ("loss", training.loss.name or f"{next(iter(TASKS[artifacts.data.task].losses))}, the default"),
        ("optimizer", f"{training.optimizer.name}, learning rate {fitted['learning_rate']:g}"),
        ("batch", counted(fitted["batch_size"], "row")),
        *_by_rows(artifacts),
    ]
    return {"about": about, "overfit": _about_overfit(artifacts)}


def _by_rows(artifacts: Artifacts) -> list[tuple[str, str]]:
    """Name the options that were `auto`, with what the number of rows of train chose."""
    asked, fitted = artifacts.recipe.training, artifacts.provenance["by_rows"]
    chosen = [f"{name} {shown_option(value)}" for name, value in fitted.items() if getattr(asked, name) == AUTO]
    if not chosen:
        return []
    return [("auto", f"{listed(chosen)}, by {counted(artifacts.metrics['rows']['train'], 'row')} of train")]


def _members(number: int) -> str:
    return "1" if number == 1 else f"{number}; the mean of their predictions is used"


def _kept(kept: Iterable[Any]) -> str:
    epochs = [int(epoch) for epoch in kept]
    if not epochs:
        return ""
    if len(epochs) == 1:
        return f"; the weights of epoch {epochs[0]} are kept"
    return f"; the weights kept are of epochs {min(epochs)} to {max(epochs)}"


def _about_refit(artifacts: Artifacts) -> list[tuple[str, str]]:
    """Say on which rows the networks were trained once more, and how long."""
    if not (refit := artifacts.refit):
        return []
    low, high = min(refit["epochs"]), max(refit["epochs"])
    epochs = counted(high, "epoch") if low == high else f"{low} to {high} epochs"
    rows = f"{counted(refit['rows'], 'row')}, of which {refit['valid_rows']:,} of valid chose the number of epochs"
    return [("refit", f"once more from the same seeds for {epochs}, on {rows}")]


def _about_overfit(artifacts: Artifacts) -> str:
    result = artifacts.diagnosis.get("overfit_one_batch")
    if not result or result.get("fitted") is None:
        return ""
    rows, steps = counted(result["rows"], "row"), counted(result["steps"], "step")
    if result["fitted"]:
        return f"As a check, a fresh network learned {rows} by heart in {steps}: the network and the training work."
    return f"A fresh network could not learn {rows} by heart in {steps}: look at the findings first."


def find_search(artifacts: Artifacts) -> Facts:
    """Say what a search tried and chose."""
    board, chosen = artifacts.leaderboard, artifacts.chosen_options
    values = chosen.get("values", {})
    stands = artifacts.recipe.trials or (chosen.get("trials") and not values)  # no other space or rows since
    if board.empty or not stands:
        return {"said": "No search: all options are as given (tuning.trials is 0).", "chosen": None, "trials": None}
    states = board["state"].value_counts()
    n_pruned, n_failed = (int(states.get(state, 0)) for state in ("pruned", "fail"))
    names = [str(name) for name in board if str(name) not in ("chosen", "error", "seconds")][:12]
    importances = {str(name): value for name, value in artifacts.option_importances.items()}
    weights = {name: value for name, value in importances.items() if isinstance(value, (int, float))}
    why = sentence(f"The search {chosen['said']}") if "said" in chosen else ""  # an earlier version did not say
    luck = "The best of many trials is best partly by luck, so expect a lower score on test than here." * bool(values)
    unknown = sentence(f"How much each option mattered: {importances[REASON]}") if REASON in importances else ""
    tried = f"{counted(len(board), 'trial')}, compared on valid: {n_pruned} stopped early, {n_failed} failed."
    return {
        "said": " ".join(filter(None, (tried, why, luck, unknown))),
        "chosen": table(
            ["option", "chosen", "importance"], [(name, str(each), weights.get(name)) for name, each in values.items()]
        ),
        "trials": table(names, board[names].itertuples(index=False), 10),
    }
