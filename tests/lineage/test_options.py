"""Options that differ from those that an artifact was made with."""

from .projects import OPTIONS, refusal


def test_column_declared_after_prepare_is_named_with_the_stage(finished):
    columns = {**OPTIONS["data"]["columns"], "rooms": {"kind": "number"}}
    data = {**OPTIONS["data"], "columns": columns}
    line = refusal(finished, "train", data=data)
    assert line.startswith(
        "toy.data.columns.rooms is {kind: number, nullable: True} and was not set when clean_rows was"
    )
    assert line.endswith("run the stage prepare again: --tags=prepare,tune,train")


def test_option_that_an_artifact_was_made_with_stays_for_stages_that_take_it(finished):
    line = refusal(finished, "evaluate", split={"seed": 3})
    assert line.startswith(
        "toy.split.seed is 3 and was 0 when splits was made; change it back, or run the stage prepare"
    )
    line = refusal(finished, "report", split={"seed": 3})  # the page names the seed
    assert line.startswith("toy.split.seed is 3 and was 0 when data_summary was made; change it back, or run the stage")


def test_options_without_effect_on_what_stands_do_not_block(finished):
    finished.run("evaluate", training={"device": "cpu", "threads": 1, "checkpoint_minutes": 0}, tuning={"trials": 3})
    finished.run("evaluate", kind=".fine_tune", fine_tuning={"repeats": 3}, training={"checkpoint_epochs": 1})
    finished.run("train", "evaluate", kind=".fine_tune", fine_tuning={"freeze": {"first": 1}, "learning_rate": 0.1})


def test_options_of_fine_tuning_that_prepare_does_not_take_leave_its_artifacts_as_they_are(finished):
    before = finished.artifacts()
    given = {
        "learning_rate": 0.5,
        "epochs": 9,
        "patience_epochs": 2,
        "batch_size": 4,
        "freeze": {"first": 1},
        "pull": 1,
    }
    more = {"layer_decay": 0.5, "thaw_epochs": 1, "rescale": True, "scheduler": {"name": "OneCycleLR"}, "repeats": 7}
    finished.run("prepare", kind=".fine_tune", fine_tuning={**given, **more})
    assert finished.artifacts() == before


def test_recipe_that_leaves_out_what_was_chosen_is_not_called_chosen(finished):
    split, evaluation = {"seed": 0}, {"folds": 2}
    space = {"training.learning_rate": {"low": 0.01, "high": 0.1}}
    finished.run(split=split, evaluation=evaluation, tuning={"trials": 2, "space": space, "keep_given": False})
    assert finished.metrics()["cross_validation"]["recipe"].startswith("chosen by a search of 2 trials")
    finished.run("train", "evaluate", evaluation=evaluation)
    assert finished.metrics()["cross_validation"]["recipe"].startswith("chosen by a search of 2 trials")
    other = {"space": {"training.learning_rate": {"low": 0.2, "high": 0.3}}}
    for left_out in (other, {"fixed": ["training.learning_rate"]}):
        finished.run("train", tuning=left_out)
        finished.run("evaluate", evaluation=evaluation)
        assert finished.metrics()["cross_validation"]["recipe"] == "as given"
