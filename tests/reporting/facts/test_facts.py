import json
from dataclasses import fields, replace

import pandas as pd
import pytest

from tests.reporting.made import facts_of, of_labels, of_numbers
from torchlane.core.options import DataOptions, ModelOptions, OptimizerOptions, Recipe, SplitOptions, TrainingOptions
from torchlane.reporting.facts.artifacts import LINES, NEEDED, Artifacts
from torchlane.reporting.facts.asked import find_asked, find_rows, find_split
from torchlane.reporting.facts.findings import find_drivers, find_failures, find_search, find_training, find_warnings
from torchlane.reporting.facts.gather import gather_facts
from torchlane.reporting.facts.origin import find_limits, find_options, find_provenance
from torchlane.reporting.facts.scores import find_certainty, find_scores


@pytest.mark.parametrize("artifacts", [of_numbers(), of_labels(), of_labels(("a", "b", "c"))])
def test_facts_are_json_and_the_same_for_the_same_artifacts(artifacts):
    text = json.dumps(facts_of(artifacts), allow_nan=False)
    assert json.dumps(facts_of(artifacts), allow_nan=False) == text


def test_what_was_asked_names_task_target_unit_and_the_rules_of_features():
    asked = find_asked(of_numbers())
    assert dict(asked["about"]) == {
        "task": "predict a number (regression)",
        "target": "price",
        "unit": "USD",
        "source": "sales of 2025",
    }
    assert asked["features"]["rows"] == [
        ["feature_0", "number", "0 or more", 40, 12],
        ["feature_1", "number", "0 or more", 40, 0],
    ]


def test_table_of_a_thousand_features_is_cut_and_counts_the_others():
    asked = find_asked(of_numbers(features=1000))
    assert len(asked["features"]["rows"]) == 50
    assert (asked["count"], asked["features"]["more"]) == (1000, 950)
    assert find_drivers(of_numbers(features=1000))["table"]["more"] == 980


def test_rows_say_what_was_kept_rejected_missing_and_repeated():
    rows = find_rows(of_numbers())
    assert rows["said"] == [
        "610 rows read from sales of 2025: 607 kept, 3 rejected.",
        "42 rows repeat another row. They count as copies and are in the same part.",
    ]
    assert rows["rejected"]["rows"] == [["a number", "feature_0", 3]]
    assert rows["missing"]["rows"] == [["feature_0", 12, 12 / 607]]


def test_split_says_how_rows_were_dealt_and_which_parts_are_empty():
    split = find_split(of_labels(metrics={"rows": {"train": 8, "valid": 0, "test": 2}}, split=SplitOptions(seed=3)))
    assert split["said"][0] == "Rows were assigned at random (seed 3), before anything was learned from them."
    assert split["said"][1] == "Each class has about the same share in all parts."
    assert split["empty"] == ["valid"]
    assert split["parts"]["rows"][0][:3] == ["train", 8, 0.8]
    assert "Copies of a row are always in the same part." in split["said"]


def test_rows_that_a_column_puts_into_parts_may_have_copies_in_two():
    artifacts = of_numbers(split=SplitOptions(part_column="part"))
    assert find_split(artifacts)["said"] == ["The column part names the part of each row."]
    assert "are in the same part" in str(find_rows(of_numbers())["said"])
    assert "They count as copies." in str(find_rows(artifacts)["said"])


def in_order(of=of_numbers, metrics: dict | None = None, **split: object):
    artifacts = of({"split": {"order_by": "sold"}, **(metrics or {})}, split=SplitOptions(order_by="sold", **split))
    periods = {"train": ["2020-01-01", "2022-06-30"], "test": ["2022-07-01", "2022-12-31"]}
    return replace(artifacts, data_summary={**artifacts.data_summary, "periods": periods})


def test_rows_that_are_split_in_an_order_are_said_to_be_with_the_ends_of_each_part():
    said = find_split(in_order())["said"]
    assert said == [
        "Rows are split in the order of sold, and those of an equal value share a part: train has 2020-01-01 to "
        "2022-06-30; test has 2022-07-01 to 2022-12-31.",
        "So test shows how well later rows are predicted from earlier ones.",
    ]
    assert "They count as copies." in str(find_rows(in_order())["said"])
    mixed = find_split(in_order(part_column="part"))["said"]
    assert mixed[0] == "The column part names the part of each row."
    assert mixed[1].startswith("Rows are in the order of sold, which decides what the column does not name: train has")


def test_certainty_and_limits_say_what_an_ordered_or_grouped_split_means_for_later_rows_and_other_groups():
    folds = {"folds": 4, "repeats": 1, "recipe": "as given", "order_by": "sold"}
    certainty = find_certainty(in_order(metrics={"cross_validation": folds}))
    assert certainty["said"][1] == (
        "The split is in the order of sold. Intervals were made on valid, which is earlier than test, so they may not "
        "hold as well for later rows."
    )
    assert certainty["folds"]["said"].startswith("The rows were cut into 4 windows in the order of sold; each was")
    assert certainty["said"][2].endswith("(evaluation.folds) judges on more rows.")
    labels = replace(of_labels(metrics={"split": {"group_by": ["owner", "place"]}}))
    assert (
        "grouped by owner and place. Probabilities were calibrated on the groups of valid"
        in (find_certainty(labels)["said"][1])
    )
    assert "Intervals were made" not in str(find_certainty(in_order(metrics={"rows": {"train": 90, "test": 91}})))
    end = "In the order of sold, test ends at 2022-12-31. How well later rows are predicted is not known"
    assert end in str(find_limits(in_order()))
    assert "In the order" not in str(find_limits(of_numbers()))
    assert "In the order" not in str(find_limits(in_order(metrics={"rows": {"train": 90, "valid": 9}})))


def test_mistakes_of_numbers_are_numbers_though_their_file_is_read_as_text():
    mistakes = pd.DataFrame({"row": [3], "truth": ["5.0"], "prediction": ["-4.491435393922488"], "error": [9.491]})
    assert find_failures(of_numbers(mistakes=mistakes))["mistakes"]["rows"] == [[3, 5.0, -4.491435393922488, 9.491]]


def test_scores_stand_beside_the_constant_and_the_linear_model_and_each_is_explained():
    scores = find_scores(of_numbers())
    assert scores["table"]["columns"] == ["metric", "train", "valid", "test", "always guessing", "ridge regression"]
    assert scores["table"]["rows"][1] == ["mean absolute error", *[30156.6] * 3, 55000.0, 30156.6]
    assert [name for name, _ in scores["glossary"]] == [row[0] for row in scores["table"]["rows"]]
    assert all(meaning for _, meaning in scores["glossary"])


def test_part_without_rows_and_missing_linear_model_leave_no_column():
    metrics = {"rows": {"train": 8, "valid": 0, "test": 0}, "valid": {}, "test": {}, "baseline": {}, "calibration": {}}
    scores = find_scores(
        of_numbers(metrics, baselines={"linear": None, "reason": "evaluation.linear_baseline is false"})
    )
    assert scores["table"]["columns"] == ["metric", "train"]
    assert scores["linear"] == "No linear model stands beside it: evaluation.linear_baseline is false."


def test_metric_that_has_no_value_is_empty_and_says_why():
    metrics = {"test": {"r2_score": None, "mean_absolute_error": 1.0}}
    scores = find_scores(of_numbers(metrics))
    assert scores["table"]["rows"][0][3] is None
    assert any("a truth that is always the same" in note for note in scores["notes"])


def test_hundred_classes_are_all_listed_and_one_never_predicted_is_named():
    labels = tuple(f"class {number}" for number in range(100))
    artifacts = of_labels(labels)
    artifacts.metrics["classes"]["class 7"] |= {"precision": None, "recall": 0.0}
    facts = facts_of(artifacts)
    assert len(facts["scores"]["classes"]["table"]["rows"]) == 100
    assert facts["scores"]["classes"]["never_predicted"] == ["class 7"]
    assert facts["failures"]["confused"] == "Never predicted: class 7."


def test_certainty_gives_intervals_of_numbers_temperature_of_labels_and_folds():
    folds = {"folds": 5, "repeats": 2, "recipe": "as given"}
    folds["r2_score"] = {"mean": 0.5, "standard_deviation": 0.1, "low": 0.4, "high": 0.6}
    certainty = find_certainty(of_numbers({"cross_validation": folds}))
    assert certainty["said"][0].startswith("Intervals should contain the truth for 90 % of new rows. On test")
    assert certainty["said"][1].startswith("Test has 91 rows, so its scores are uncertain")
    assert certainty["folds"]["table"]["rows"] == [["R²", 0.5, 0.1, 0.4, 0.6]]
    assert find_certainty(of_labels())["said"] == [
        "Probabilities were calibrated on valid, which made them more confident (temperature 0.84)."
    ]


def test_drivers_rank_features_and_say_why_there_are_none():
    assert find_drivers(of_numbers())["said"][1] == "What counts most: feature_0 and feature_1."
    of_images = {
        "part": "test",
        "metric": "accuracy_score",
        "reason": "an image has no columns to permute",
        "left_out": 0,
    }
    drivers = find_drivers(of_numbers(explanation=of_images))
    assert drivers == {
        "said": ["The features were not ranked, since an image has no columns to permute."],
        "table": None,
        "top": [],
        "strongest": "The features were not ranked, since an image has no columns to permute.",
    }


def test_feature_whose_importance_is_within_chance_does_not_count_most():
    importances = pd.DataFrame(
        {"feature": ["a", "b"], "importance": [0.2, 0.01], "over_repeats": ["0.05", "0.03"], "over_members": ["", ""]}
    )
    drivers = find_drivers(of_numbers(feature_importances=importances))
    assert drivers["said"][1] == "What counts most: a."
    assert drivers["table"]["rows"] == [["a", 0.2, 0.05, None], ["b", 0.01, 0.03, None]]


def test_failures_list_groups_that_lie_well_above_the_average_alone():
    found = pd.DataFrame(
        {
            "feature": ["size", "size"],
            "group": ["large", "small"],
            "rows": [40, 9],
            "error": [50_000.0, 40_000.0],
            "overall": 30_000.0,
            "standard_errors": [3.1, 1.2],
        }
    )
    failures = find_failures(of_numbers(failures=found))
    assert failures["groups"]["rows"] == [["size", "large", 40, "50,000 USD", 3.1]]
    assert failures["said"].startswith("Over all rows of test the average is 30,000 USD.")
    weighted = find_failures(of_numbers({"weight": "sales"}, failures=found))  # the answer weighs them
    assert weighted["said"].startswith("Over all rows of test, each counted once, the average is 30,000 USD.")


def test_warnings_and_findings_are_sentences_with_what_to_do():
    warning = {"code": "leak", "title": "A leak", "warning": "'id' alone gives it", "remedy": "leave it out"}
    finding = {"name": "dying_relus", "finding": "ReLUs have died", "remedies": ["GELU", "batch norm"]}
    found = find_warnings(
        of_numbers(
            warnings={"warnings": [{**warning, "column": "id", "numbers": {}}], "checked": ["leak"], "not_checked": {}},
            diagnosis={"enabled": True, "capacity": "", "findings": [finding]},
        )
    )
    assert found["warnings"] == [
        {"code": "leak", "title": "A leak", "text": "'id' alone gives it.", "remedy": "Leave it out."}
    ]
    assert found["findings"][0]["text"] == "ReLUs have died."
    assert found["findings"][0]["remedy"] == "Try: GELU; batch norm."
    assert find_warnings(of_numbers())["said"] == (
        "1 check of the data and the model found nothing. The training was diagnosed, and nothing was found."
    )


def test_training_says_members_kept_epochs_time_and_device():
    about = dict(find_training(of_numbers())["about"])
    assert about["epochs"] == "3 of at most 200; the weights kept are of epochs 2 to 3"
    assert about["members"] == "16; the mean of their predictions is used"
    assert (about["time"], about["device"]) == ("1.5 s", "cpu, 1 thread")


def test_training_that_was_refitted_says_that_its_time_is_that_of_the_first_training():
    refit = {"rows": 516, "valid_rows": 91, "epochs": [3, 2]}
    about = dict(find_training(of_numbers(provenance={**of_numbers().provenance, "refit": refit}))["about"])
    assert about["time before the refit"] == "1.5 s"
    assert "time" not in about
    assert about["refit"].startswith("once more from the same seeds for 2 to 3 epochs, on 516 rows, of which 91 of")


def test_training_says_what_the_number_of_rows_chose_and_only_that():
    artifacts = of_numbers()
    rows = f"{artifacts.metrics['rows']['train']} rows of train"
    about = dict(find_training(artifacts)["about"])
    chosen = "batch_size 64, epochs 200, patience_epochs 20, members 16, learning_rate 0.002, sharing columns and refit"
    assert about["auto"] == f"{chosen} false, by {rows}"
    assert about["batch"] == "64 rows"
    assert about["optimizer"] == "AdamW, learning rate 0.002"
    given = {"epochs": 200, "batch_size": 64, "members": 16, "learning_rate": 0.01, "sharing": "none", "refit": True}
    training = TrainingOptions.model_validate(given)
    about = dict(find_training(of_numbers(recipe=artifacts.recipe.model_copy(update={"training": training})))["about"])
    assert about["auto"] == f"patience_epochs 20, by {rows}"
    training = TrainingOptions.model_validate({**given, "patience_epochs": None})
    assert "auto" not in dict(
        find_training(of_numbers(recipe=artifacts.recipe.model_copy(update={"training": training})))["about"]
    )


def test_options_list_what_differs_from_defaults_and_what_a_search_chose():
    training = TrainingOptions(batch_size=32, optimizer=OptimizerOptions(arguments={"weight_decay": 0.1}))
    plain = of_numbers().recipe
    recipe = Recipe(encoding=plain.encoding, model=ModelOptions(dropout=0.5), training=training, trials=8)
    artifacts = of_numbers(recipe=recipe, chosen_options={"trials": 8, "values": {"model.dropout": 0.5}})
    assert find_options(artifacts)["table"]["rows"] == [
        ["model.dropout", "0.5", "0.1", "search"],
        ["training.batch_size", "32", "auto", "given"],
        ["training.optimizer", "{arguments: {weight_decay: 0.1}}", "{}", "given"],
    ]
    assert find_options(of_numbers())["table"]["rows"] == []


def test_options_of_a_network_are_compared_with_the_defaults_of_its_kind():
    plain = of_numbers().recipe

    def listed(**model) -> list[list[str]]:
        recipe = plain.model_copy(update={"model": ModelOptions.model_validate(model)})
        return find_options(of_numbers(recipe=recipe))["table"]["rows"]

    assert listed(widths=[64, 64], numbers="plain") == [
        ["model.widths", "[64, 64]", "[128, 128]", "given"],
        ["model.numbers", "{kind: plain}", "{kind: auto}", "given"],
    ]
    assert listed(numbers={"kind": "bins", "bins": 8}, dropout=0) == [
        ["model.dropout", "0", "0.1", "given"],
        ["model.numbers", "{kind: bins, bins: 8}", "{kind: auto}", "given"],
    ]
    assert listed(kind="transformer") == [["model.kind", "transformer", "mlp", "given"]]


def test_search_lists_trials_and_what_was_chosen():
    board = pd.DataFrame(
        {
            "trial": [1, 0],
            "state": ["complete", "pruned"],
            "valid_r2_score": [0.5, 0.4],
            "error": "",
            "model.dropout": "0.5",
        }
    )
    recipe = of_numbers().recipe.model_copy(update={"trials": 2})
    chosen = {"trials": 2, "values": {"model.dropout": 0.5}}
    artifacts = of_numbers(
        leaderboard=board, recipe=recipe, chosen_options=chosen, option_importances={"model.dropout": 1.0}
    )
    search = find_search(artifacts)
    assert search["said"].startswith("2 trials, compared on valid: 1 stopped early, 0 failed.")
    assert search["chosen"]["rows"] == [["model.dropout", "0.5", 1.0]]
    assert search["trials"]["columns"] == ["trial", "state", "valid_r2_score", "model.dropout"]
    assert search["said"].endswith("so expect a lower score on test than here.")  # an earlier version did not say why
    assert find_search(of_numbers())["chosen"] is None


def test_search_that_kept_the_options_given_says_why_and_why_no_importance_is_known():
    said = "kept the options given: the best of 2 trials is ahead by 0.1 ± 0.2 on 9 rows of valid, which may be chance"
    board = {"trial": [1, 0], "state": "complete", "valid_r2_score": [0.5, 0.4], "chosen": ["", said], "error": ""}
    artifacts = of_numbers(
        leaderboard=pd.DataFrame(board),
        chosen_options={"trials": 2, "values": {}, "said": said},
        option_importances={"reason": "nothing can be told: 2 trials"},
    )
    search = find_search(artifacts)
    assert search["said"] == (
        f"2 trials, compared on valid: 0 stopped early, 0 failed. The search {said}. "
        "How much each option mattered: nothing can be told: 2 trials."
    )
    assert search["chosen"]["rows"] == []
    assert search["trials"]["columns"] == ["trial", "state", "valid_r2_score"]
    applied_elsewhere = {"trials": 2, "values": {"model.dropout": 0.5}, "said": said}
    assert find_search(of_numbers(leaderboard=pd.DataFrame(board), chosen_options=applied_elsewhere))["trials"] is None


def test_limits_follow_from_the_facts():
    assert any(limit.startswith("It was trained on 425 rows of sales of 2025.") for limit in find_limits(of_numbers()))
    classes = {
        label: {"precision": 1.0, "recall": 1.0, "f1": 1.0, "rows": n} for label, n in [("a", 3), ("b", 90), ("c", 0)]
    }
    limits = find_limits(of_labels(("a", "b", "c"), {"classes": classes, "absent_from_test": ["c"]}))
    assert "Test has fewer than 5 rows of a: how well these classes are found is not known." in limits
    assert "Test has no row of c, so nothing is known about such rows." in limits
    assert "The rows were made by a generator. Do not use the predictions for real decisions." in limits


def test_provenance_names_time_fingerprints_commit_versions_and_machine():
    about = dict(find_provenance(of_numbers())["about"])
    assert about["trained"] == "2025-03-01T06:30:00+00:00"
    assert (about["model file (SHA-256)"], about["commit"]) == ("a" * 64, "c" * 40)
    assert about["versions"] == "torch 2.15.0, torchlane 0.1.0"


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_artifact_of_an_older_format_is_refused_with_the_stage_to_run(name):
    artifacts = of_numbers()
    stage, needed = NEEDED[name]
    old = getattr(artifacts, name)
    old = (
        old.drop(columns=needed[0])
        if isinstance(old, pd.DataFrame)
        else {k: v for k, v in old.items() if k != needed[0]}
    )
    with pytest.raises(ValueError, match=rf"^{name} has no {needed[0]}, .*--tags={stage},"):
        gather_facts(replace(artifacts, **{name: old}))


@pytest.mark.parametrize("name", sorted(LINES))
def test_line_of_an_older_format_is_refused_with_the_stage_to_run(name):
    (part, (first, *_)), artifacts = LINES[name], of_numbers()
    old = {**getattr(artifacts, name), part: [{}]}
    with pytest.raises(ValueError, match=rf"^{name} has no {first} in {part}.*--tags={NEEDED[name][0]},"):
        gather_facts(replace(artifacts, **{name: old}))


def test_every_artifact_that_is_a_table_or_a_mapping_has_a_format():
    plain = {"chosen_options", "option_importances", "recipe", "data", "split", "tuning", "evaluation", "diagnosing"}
    assert {field.name for field in fields(Artifacts)} - plain == set(NEEDED)


def test_sections_of_images_do_without_a_table():
    data = DataOptions(
        task="multiclass",
        target="answer",
        columns={"image": {"kind": "image", "size": [1, 8, 8]}, "answer": {"kind": "category"}},
    )
    facts = facts_of(of_labels(("a", "b", "c"), data=data))
    assert facts["images"] is True
    assert facts["asked"]["features"]["rows"][0][:3] == ["image", "image", "8 x 8 pixels, 1 channel"]
    assert facts["failures"]["said"] == "Images have no levels or ranges to compare; see the mistakes."
