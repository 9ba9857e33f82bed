import pytest
import torch

from tests.core.fitted import FEW, MANY, use_small_bands
from tests.core.transfer.adapted import REGRESSION, make_lesson, make_rows, split_options, train_parent
from torchlane.core import transfer
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import EncodingOptions, FineTuningOptions, ModelOptions, Recipe, TrainingOptions
from torchlane.core.transfer import comparison

N_TRAIN = 36  # of 60 new rows
OPEN = dict.fromkeys(("epochs", "patience_epochs", "batch_size"), "auto")
BY_ROWS = [(N_TRAIN, FEW), (N_TRAIN - 1, MANY)]


@pytest.mark.parametrize(("most_of_few", "numbers"), BY_ROWS)
def test_fine_tuning_with_auto_is_that_with_the_numbers_that_the_new_rows_choose(monkeypatch, most_of_few, numbers):
    parent = train_parent(make_rows(), REGRESSION)
    use_small_bands(monkeypatch, most_of_few)
    tuned = []
    for training in (OPEN, {name: numbers[name] for name in OPEN}):
        tuning = FineTuningOptions.model_validate(training)
        options, _, _, lesson = make_lesson(parent, make_rows(), REGRESSION, tuning)
        tuned += [transfer.fine_tune(parent, [lesson], options, tuning, NoCheckpoints())[0][0]]
    assert len(lesson.train) == N_TRAIN
    assert tuned[0].n_members == parent.n_members == 2  # whatever the rows would choose
    assert tuned[0].training.model_dump() == tuned[1].training.model_dump()
    assert all(torch.equal(tuned[0].weights[name], weights) for name, weights in tuned[1].weights.items())


@pytest.mark.parametrize(("most_of_few", "numbers"), BY_ROWS)
def test_model_from_scratch_has_what_the_new_rows_choose(monkeypatch, most_of_few, numbers):
    parent, tuning = train_parent(make_rows(), REGRESSION), FineTuningOptions(epochs=2, repeats=1)
    options, clean, splits, lesson = make_lesson(parent, make_rows(), REGRESSION, tuning)
    ((tuned, _),) = transfer.fine_tune(parent, [lesson], options, tuning, NoCheckpoints())
    use_small_bands(monkeypatch, most_of_few)
    lines = []
    for training in ({}, numbers):
        asked = TrainingOptions.model_validate(training)
        recipe = Recipe(encoding=EncodingOptions(), model=ModelOptions(widths=(8, 6)), training=asked)
        arguments = (parent, tuned, clean, splits, options, split_options(), recipe, tuning, NoCheckpoints())
        lines += [comparison.compare(*arguments)]
    assert lines[0] == lines[1]
