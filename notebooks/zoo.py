# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# %% [markdown]
# # Zoo: several classes, and very few rows
#
# Sixteen traits are to tell the class of an animal: mammal, bird, reptile, and so on. This is a **multiclass** task.
# The file is the real one, and it is tiny. So the second half of this notebook asks how far its results can be trusted.

# %%
# %load_ext kedro.ipython

# %%
import tempfile

temporary = tempfile.TemporaryDirectory(prefix="torchlane_")  # nothing of yours is touched
folder = temporary.name
# %reload_kedro --params=output_root={folder}

# %%
import math

import pandas as pd
import torch
from plotly.graph_objects import Bar, Figure
from torch import nn

from torchlane.pipelines.supervised import nodes

torch.set_num_threads(1)

# %% [markdown]
# ## The rows
#
# There is no valid part here, as some classes have only a handful of rows. All but test are for training, and the
# number of epochs is fixed.

# %%
NAMES = {"1": "mammal", "2": "bird", "3": "reptile", "4": "fish", "5": "amphibian", "6": "insect", "7": "invertebrate"}
data, split = catalog.load("params:zoo.data"), catalog.load("params:zoo.split")
clean_rows, rejected_rows = nodes.check_rows(catalog.load("zoo.raw_rows"), data)
splits = nodes.split_rows(clean_rows, rejected_rows, data, split)
together = splits.merge(clean_rows[["row", "class_type"]], on="row")
together["class"] = together["class_type"].map(NAMES)
pd.crosstab(together["class"], together["part"])

# %% [markdown]
# A split that pays no heed to the classes could leave a rare one out of train. So each class is dealt in proportion.
#
# ## One-hot
#
# `legs` is written as a number, but is declared as a category: nothing says that the step from 4 to 5 legs is as large
# as the one from 5 to 6. A category is a code in the tensor. The network sees a feature for each level.

# %%
recipe = nodes.Recipe.model_validate(
    {section: catalog.load(f"params:zoo.{section}") for section in ("encoding", "model", "training")}
)
encoder = nodes.fit_encoder(clean_rows, splits, recipe, data)
train, valid, test = nodes.build_tensors(clean_rows, splits, encoder)
features, targets = train.tensors
legs = next(column for column in encoder.columns if column.name == "legs")
codes = torch.from_numpy(legs.encode(clean_rows["legs"].head(4))).flatten().long()
print("levels", legs.levels, "codes", codes.tolist())
print(nn.functional.one_hot(codes, len(legs.levels)))

# %% [markdown]
# The target is the index of the class, `int64`. It is not one-hot: the loss picks the entry of the truth by this index.

# %%
print(targets.dtype, targets[:8].tolist(), "of the labels", encoder.target.labels)

# %% [markdown]
# ## Softmax
#
# The network has an output for each class. Softmax makes probabilities of them: each output e^z, divided by their sum.

# %%
outputs = torch.tensor([2.0, 1.0, 0.0, -1.0])
by_hand = outputs.exp() / outputs.exp().sum()
print(by_hand.numpy().round(3), "sum", round(by_hand.sum().item(), 6))
print("as torch:", torch.allclose(by_hand, outputs.softmax(0)))

# %% [markdown]
# Only differences count: 100 more for each output changes nothing. By hand, though, e^100 is too large for `float32`,
# so torch subtracts the largest output first.

# %%
moved = outputs + 100
print("by hand:", (moved.exp() / moved.exp().sum()).numpy(), "by torch:", moved.softmax(0).numpy().round(3))

# %% [markdown]
# That is also why one output is not enough. The softmax of a single number is 1, whatever the number, so there is
# nothing to learn. A network for several classes needs an output for each.

# %%
print(torch.tensor([[-5.0], [0.0], [5.0]]).softmax(1).flatten().tolist())

# %% [markdown]
# ## Cross entropy
#
# The loss of a row is -log of the probability that was given to the truth. A network that knows nothing gives each of
# *n* classes 1/*n*, so its loss is log *n*. If an untrained network starts far above that, something is wrong.

# %%
from torchlane.core.networks import build_network

torch.manual_seed(0)
untrained = build_network(recipe.model, encoder)
loss = nn.functional.cross_entropy(untrained(features), targets).item()
print(f"untrained {loss:.3f}, log {len(encoder.target.labels)} = {math.log(len(encoder.target.labels)):.3f}")

# %% [markdown]
# The gradient of this loss is simple: the probabilities, minus 1 at the truth. Each step takes from the wrong classes
# and gives to the right one, in proportion to how wrong the network is.

# %%
logits = outputs.clone().requires_grad_()
nn.functional.cross_entropy(logits[None], torch.tensor([1])).backward()
print("probabilities", by_hand.numpy().round(3), "gradient", logits.grad.numpy().round(3))

# %% [markdown]
# The loss is 0 only for a probability of 1, which needs infinite outputs. So weights grow on, even when all of train is
# right. **Label smoothing** asks for a little less than 1 of the truth and shares the rest among all classes.

# %%
confident = torch.tensor([[10.0, 0.0, 0.0]])
for smoothing in (0.0, recipe.training.loss.label_smoothing):
    losses = [
        nn.functional.cross_entropy(scale * confident, torch.tensor([0]), label_smoothing=smoothing).item()
        for scale in (0.2, 0.5, 1.0, 3.0)
    ]
    print(f"smoothing {smoothing}: loss of ever more confident outputs", [round(each, 3) for each in losses])

# %% [markdown]
# Without smoothing, more confidence always pays. With it, the loss rises again where the outputs are too sure.
#
# ## Far more weights than rows
#
# A network with so many parameters could learn every row by heart. It starts from small weights and takes few steps,
# and often finds something that holds for other rows too. Only rows that took no part can tell.

# %%
n_parameters = sum(parameter.numel() for parameter in untrained.parameters())
print(f"{n_parameters:,} parameters and {len(train)} rows of train")

# %% [markdown]
# Is it any better than something simple? A linear model over the same features is trained here in the same way.

# %%
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model


def accuracy(widths: tuple[int, ...], seed: int = 0) -> float:
    """Train a network with such hidden layers; return the share of test rows that it gets right."""
    model_options = recipe.model.model_copy(update={"widths": widths})
    lesson = Lesson(train, valid, encoder, recipe.training.model_copy(update={"members": 1, "seed": seed}))
    trained, _ = train_model(lesson, data, model_options, NoCheckpoints())
    test_features, test_targets = test.tensors
    return (trained.outputs(test_features).mean(0).argmax(1) == test_targets).double().mean().item()


for widths in ((), recipe.model.widths):
    print(f"hidden layers {list(widths)}: {accuracy(widths):.1%} of test right")

# %% [markdown]
# ## How much is a test of so few rows worth?
#
# One row more or less that is right moves the accuracy by one over the number of rows. And chance has its share: if a
# model is right for 95 % of all animals there are, its score on so few of them varies like this.

# %%
n_test, share = len(test), 0.95
right = list(range(n_test - 4, n_test + 1))
chances = [math.comb(n_test, k) * share**k * (1 - share) ** (n_test - k) for k in right]
print(f"{n_test} test rows: one row is {1 / n_test:.1%}")
figure = Figure(Bar(x=[f"{k} of {n_test}" for k in right], y=chances))
figure.update_layout(template="plotly_white", xaxis_title="right", yaxis_title="probability")

# %% [markdown]
# Two models that differ by a row or two on test cannot be told apart by it.
#
# **Cross-validation** uses the rows better. They are cut into folds, and each fold is the test part once, for a model
# that was trained on the others. In the end each row was tested on.
#
# ## The pipeline
#
# Cross-validation is an option of the evaluation, which this run sets. There can be no more folds than the rarest class
# has rows, so that each fold has one. Few networks (`members`) are enough for a look.

# %%
# %reload_kedro --params=output_root={folder},zoo.evaluation.folds=4,zoo.training.members=4

# %%
written = session.run(pipeline_names=["zoo"])

# %%
metrics = catalog.load("zoo.metrics")
print(f"on {metrics['rows']['test']} test rows: accuracy {metrics['test']['accuracy_score']:.3f}")
folds = catalog.load("zoo.fold_scores")["accuracy_score"].astype(float)
print(f"over {len(folds)} folds: mean {folds.mean():.3f}, lowest {folds.min():.3f}, highest {folds.max():.3f}")

# %% [markdown]
# `cross_validation` in the metrics has the mean of each metric over the folds, and an interval for it. It is wide, as
# it should be with so few rows, and may reach beyond what is possible.

# %%
pd.DataFrame({name: line for name, line in metrics["cross_validation"].items() if isinstance(line, dict)}).T.round(3)

# %% [markdown]
# The confusion matrix shows which class is taken for which. All that is off the diagonal is a mistake.

# %%
catalog.load("zoo.predictions_figure")

# %% [markdown]
# The animals that the networks were least sure of, with the probability that they gave to the truth:

# %%
predictions = catalog.load("zoo.test_predictions")
animals = catalog.load("zoo.raw_rows")["animal_name"]
given = [float(line[f"probability_{line['truth']}"]) for _, line in predictions.iterrows()]
table = pd.DataFrame(
    {
        "animal": animals.iloc[predictions["row"].astype(int) - 1].to_list(),
        "truth": predictions["truth"].map(NAMES),
        "prediction": predictions["prediction"].map(NAMES),
        "probability of the truth": given,
    }
)
table.sort_values("probability of the truth").head(5).round(2)

# %%
temporary.cleanup()
