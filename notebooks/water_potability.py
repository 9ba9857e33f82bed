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
# # Water: two classes, missing values, and what goes on inside an activation
#
# Nine measurements of a water body are to tell whether people can drink from it. The answer is yes or no: a **binary**
# task. Some measurements are missing, and there are more rows of one answer than of the other.
#
# The rows are a bundled sample, drawn in the likeness of real measurements.

# %%
# %load_ext kedro.ipython

# %%
import tempfile

temporary = tempfile.TemporaryDirectory(prefix="torchlane_")  # nothing of yours is touched
folder = temporary.name
# %reload_kedro --params=output_root={folder}

# %%
import pandas as pd
import torch
from plotly.colors import qualitative
from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots
from torch import nn

from torchlane.pipelines.supervised import nodes

torch.set_num_threads(1)

# %% [markdown]
# ## Missing values
#
# A value that is missing is not 0. The check keeps such rows, and the table says how many there are.

# %%
data, split = catalog.load("params:water_potability.data"), catalog.load("params:water_potability.split")
clean_rows, rejected_rows = nodes.check_rows(catalog.load("water_potability.raw_rows"), data)
splits = nodes.split_rows(clean_rows, rejected_rows, data, split)
gaps = clean_rows[list(data.feature_columns)].isna()
print(f"{gaps.any(axis=1).mean():.0%} of the rows miss at least one value")
gaps.mean()[gaps.any()].map("{:.1%}".format)

# %% [markdown]
# To drop these rows would waste most of what they say. The encoder fills each gap with the median of train, which is
# an ordinary value. It also adds a feature that is 1 where the value was missing. So the network can learn whether it
# matters that somebody did not measure.

# %%
recipe = nodes.Recipe.model_validate(
    {section: catalog.load(f"params:water_potability.{section}") for section in ("encoding", "model", "training")}
)
encoder = nodes.fit_encoder(clean_rows, splits, recipe, data)
train, valid, test = nodes.build_tensors(clean_rows, splits, encoder)
print(encoder.feature_names)

# %% [markdown]
# ## Scales
#
# The measurements have different units. If the values of one column are far larger than those of another, its weights
# have to be as much smaller. So numbers are scaled. Here `quantile` maps them through their ranks to a normal
# distribution. This also draws in outliers.

# %%
medians = clean_rows[list(data.feature_columns)].median()
print(f"the median of {medians.idxmax()} is {medians.max() / medians.min():,.0f} times that of {medians.idxmin()}")
(solids,) = (column for column in encoder.columns if column.name == "Solids")
raw = clean_rows["Solids"].dropna()
scaled = torch.from_numpy(solids.encode(raw))[:, 0]
print(f"raw:    {raw.min():10,.0f} to {raw.max():10,.0f}, median {raw.median():,.0f}")
print(f"scaled: {scaled.min():10.2f} to {scaled.max():10.2f}, median {scaled.median():.2f}")

# %% [markdown]
# ## Activations and their gradients
#
# A network learns by gradients, which are multiplied layer by layer on their way from the loss to the first layer.
# An activation multiplies them by its slope.

# %%
inputs = torch.linspace(-6, 6, 241, requires_grad=True)
figure = make_subplots(cols=2, column_titles=["activation", "its slope"])
slopes = {}
for activation in (nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.GELU()):
    outputs = activation(inputs)
    (slope,) = torch.autograd.grad(outputs.sum(), inputs)
    name = type(activation).__name__
    slopes[name] = slope
    shared = {"x": inputs.detach(), "name": name, "legendgroup": name, "line_color": qualitative.Safe[len(slopes)]}
    figure.add_trace(Scatter(y=outputs.detach(), **shared), row=1, col=1)
    figure.add_trace(Scatter(y=slope, showlegend=False, **shared), row=1, col=2)
figure.update_layout(template="plotly_white")

# %%
at_five = int((inputs.detach() - 5).abs().argmin())
pd.DataFrame(
    {name: [slope.max().item(), slope[at_five].item()] for name, slope in slopes.items()},
    index=["largest slope", f"slope at {inputs[at_five].item():.0f}"],
).round(4)

# %% [markdown]
# The sigmoid squeezes all numbers between 0 and 1. Its slope is small even where it is steepest, and nearly 0 far from
# 0: there it is **saturated**, and no gradient passes. `ReLU` passes the whole gradient where it is positive and
# nothing where it is negative. `GELU` is a smooth form of it.
#
# Through many sigmoids, little is left of a gradient. Here are deep networks that differ in the activation and in how
# their first weights are drawn.

# %%
from torchlane.core.networks import build_network
from torchlane.core.options import ModelOptions

features, targets = train.tensors


def first_to_last(activation: str, initialisation: str) -> float:
    """Return the gradient norm of the first layer as a share of the last one's, before any training."""
    torch.manual_seed(0)
    options = {"widths": [32] * 8, "activation": activation, "initialisation": initialisation}
    options |= {"numbers": "plain", "dropout": 0}  # nothing but layers
    deep = build_network(ModelOptions.model_validate(options), encoder)
    nn.functional.binary_cross_entropy_with_logits(deep(features), targets).backward()
    return (deep.linear_1.weight.grad.norm() / deep.head.weight.grad.norm()).item()


for activation, initialisation in (("Sigmoid", "default"), ("ReLU", "default"), ("ReLU", "kaiming")):
    ratio = first_to_last(activation, initialisation)
    print(f"{activation}, {initialisation} weights: the gradient of the first layer is {ratio:.1e} of the last one's")

# %% [markdown]
# This is the **vanishing gradient**. It is why hidden layers have `ReLU` or `GELU` today. The first weights matter too:
# `kaiming` draws them so large that signals through `ReLU` keep their size. Torchlane measures these norms while it
# trains, and says so if gradients vanish.

# %% [markdown]
# ## One output for two classes
#
# The network gives one number, the **logit**. The sigmoid of it is the probability of the second label. Which label
# that is stands in the encoder: the rarer one, unless you name it.

# %%
labels, counts = encoder.target.labels, encoder.target.counts
print(f"labels {labels}, rows of train {counts}; the positive one is {encoder.target.positive}")
print(f"logits {[-3, 0, 3]} mean probabilities {torch.tensor([-3.0, 0, 3]).sigmoid().numpy().round(3)}")

# %% [markdown]
# ## The loss: binary cross entropy
#
# The loss of a row is -log of the probability that the network gave to the truth. It is 0 for one who was sure and
# right, log 2 for one who did not know, and it grows without end for one who was sure and wrong.

# %%
probability = torch.tensor([0.99, 0.9, 0.5, 0.1, 0.01])
by_formula = -probability.log()
by_torch = nn.functional.binary_cross_entropy_with_logits(probability.logit(), torch.ones(5), reduction="none")
pd.DataFrame({"probability of the truth": probability, "by the formula": by_formula, "by torch": by_torch}).round(4)

# %% [markdown]
# Why not the sigmoid first, and the logarithm after it? In `float32` the sigmoid of a large negative logit is exactly
# 0, whose logarithm is no number. The function that takes logits computes both together, and stays exact.

# %%
logit = torch.tensor(-120.0)
together = nn.functional.binary_cross_entropy_with_logits(logit, torch.tensor(1.0))
print(f"one after another: {-logit.sigmoid().log():.1f}; together: {together:.1f}")

# %% [markdown]
# ## More rows of one class
#
# If one class is more frequent, a network that always answers with it looks good in accuracy, and is useless.

# %%
share = max(counts) / sum(counts)
print(f"always answering {labels[counts.index(max(counts))]} is right for {share:.0%} of train")

# %% [markdown]
# So look at more than accuracy:
#
# - **recall**: of the rows that are positive, how many were found;
# - **precision**: of the rows that were called positive, how many are;
# - **ROC AUC**: how often a positive row gets a higher score than a negative one. No threshold is needed for it.
#
# Weights of classes make the rarer class count more in the loss. Let us train with and without them.
# A few networks and epochs do for a comparison. There is no `refit`, which would train on valid as well.

# %%
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import LossOptions

truth = valid.tensors[1].flatten().bool()


def judge(called: torch.Tensor) -> dict[str, float]:
    """Judge which rows of valid were called positive."""
    right = called == truth
    return {
        "accuracy": right.double().mean().item(),
        "recall": called[truth].double().mean().item(),
        "precision": truth[called].double().mean().item(),
    }


def auc(scores: torch.Tensor) -> float:
    """Compute how often a positive row has a higher score than a negative one; equal scores count half."""
    apart = scores[truth][:, None] - scores[~truth][None]
    return ((apart > 0).double() + (apart == 0).double() / 2).mean().item()


judged, scores_of = {}, {}
for name, weights in {"as they are": None, "balanced": "balanced"}.items():
    changes = {"members": 4, "epochs": 40, "refit": False, "loss": LossOptions(class_weights=weights)}
    lesson = Lesson(train, valid, encoder, recipe.training.model_copy(update=changes))
    trained, _ = train_model(lesson, data, recipe.model, NoCheckpoints())
    scores_of[name] = trained.outputs(valid.tensors[0]).sigmoid().mean(0).flatten()
    judged[name] = {**judge(scores_of[name] > 0.5), "ROC AUC": auc(scores_of[name])}
pd.DataFrame(judged).T.round(3)

# %% [markdown]
# Weights move the border between the classes: more positive rows are found, at the cost of false alarms. They hardly
# change the order of the rows, which is what ROC AUC looks at. So the same trade can be made afterwards, by another
# threshold. Which side is worse is for you to say. To drink bad water is worse than to boil good water.

# %%
pd.DataFrame({threshold: judge(scores_of["as they are"] > threshold) for threshold in (0.3, 0.4, 0.5, 0.6)}).T.round(3)

# %% [markdown]
# ## Learned by heart
#
# A large network can learn train by heart. What it then knows does not hold for other rows. Dropout makes this harder:
# in each step it leaves out units at random.

# %%
figure = Figure()
for dropout in (0.0, 0.5):
    model_options = recipe.model.model_copy(update={"dropout": dropout, "widths": (128, 128)})
    changes = {"members": 4, "epochs": 40, "patience_epochs": None, "refit": False}
    lesson = Lesson(train, valid, encoder, recipe.training.model_copy(update=changes))
    _, history = train_model(lesson, data, model_options, NoCheckpoints())
    for part, dash in (("train", "dot"), ("valid", "solid")):
        curve = Scatter(
            x=history["epoch"], y=history[f"{part}_loss"], name=f"dropout {dropout}, {part}", line_dash=dash
        )
        figure.add_trace(curve)
    last = history.iloc[-1]
    losses = ", ".join(f"{last[f'{part}_loss']:.3f} on {part}" for part in ("train", "valid"))
    print(f"dropout {dropout}: after {len(history)} epochs the loss is {losses}")
figure.update_layout(template="plotly_white", colorway=qualitative.Safe, xaxis_title="epoch", yaxis_title="loss")

# %% [markdown]
# The loss on train keeps falling, while that on valid rises again: what is learned then holds for train alone. Early
# stopping keeps the weights from where the curve of valid is lowest. With dropout, the loss on train is measured while
# units are left out, so it lies higher than it would without.

# %% [markdown]
# ## The pipeline

# %%
written = session.run(pipeline_names=["water_potability"])

# %%
metrics = catalog.load("water_potability.metrics")
names = ["roc_auc_score", "accuracy_score", "balanced_accuracy_score", "f1_score", "cross_entropy_loss"]
pd.DataFrame({part: metrics[part] for part in ("train", "valid", "test", "baseline")}).loc[names].astype(float).round(3)

# %%
catalog.load("water_potability.predictions_figure")

# %% [markdown]
# A probability should be true to its word: of the rows that are given 70 %, 70 % should be positive. The outputs are
# divided by a **temperature** that makes this so on valid. Below 1 it makes the network bolder, above 1 more careful.
# The table shows how it turns out on test.

# %%
print(f"temperature {metrics['calibration']['temperature']:.2f}")
predictions = catalog.load("water_potability.test_predictions")
given = predictions[f"probability_{encoder.target.positive}"].astype(float)
positive = predictions["truth"] == encoder.target.positive
bins = pd.cut(given, [0, 0.2, 0.4, 0.6, 0.8, 1])
pd.DataFrame({"rows": given, "mean probability": given, "share of positive rows": positive}).groupby(
    bins, observed=True
).agg({"rows": "size", "mean probability": "mean", "share of positive rows": "mean"}).round(2)

# %% [markdown]
# Last, what the diagnosis of the training found. An empty list is good news.

# %%
catalog.load("water_potability.diagnosis")["findings"]

# %%
temporary.cleanup()
