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
# # Salaries: how a network learns to predict a number
#
# A row tells who works where. The network is to tell the salary, in US dollars.
# This notebook goes the whole way by hand: rows, tensors, batches, layers, loss, optimizer, training loop.
# Then it shows that Torchlane takes the same way, to the last bit, and what it adds.
#
# The rows are a bundled sample, drawn in the likeness of a real survey.

# %%
# %load_ext kedro.ipython

# %%
import tempfile

temporary = tempfile.TemporaryDirectory(prefix="torchlane_")  # nothing of yours is touched
folder = temporary.name
settings = "salaries.model.numbers=plain,salaries.training.refit=false"  # without two things that can wait
# %reload_kedro --params=output_root={folder},{settings}

# %%
import pandas as pd
import torch
from plotly.colors import qualitative
from plotly.graph_objects import Figure, Scatter
from torch import nn
from torch.utils.data import DataLoader

from torchlane.pipelines.supervised import nodes

torch.set_num_threads(1)  # steps are small here, and would only wait for each other

# %% [markdown]
# ## Rows
#
# The raw file is text. The nodes of the pipeline are plain functions, so we can call them by hand.
# The first checks each row against the rules of its columns. The second deals the rows to three parts:
# `train` to learn from, `valid` to decide when to stop, and `test` to be judged on.

# %%
data, split = catalog.load("params:salaries.data"), catalog.load("params:salaries.split")
clean_rows, rejected_rows = nodes.check_rows(catalog.load("salaries.raw_rows"), data)
splits = nodes.split_rows(clean_rows, rejected_rows, data, split)
splits["part"].value_counts().to_dict()

# %% [markdown]
# The parts are made first, before anything is learned from the rows. Otherwise test would leak into train.

# %% [markdown]
# ## Tensors
#
# A tensor is an array of numbers of one type, its **dtype**. Whole numbers become `int64`, others `float32`.

# %%
whole, real = torch.tensor([1, 2, 3]), torch.tensor([1.0, 2.0, 3.0])
print(whole.dtype, real.dtype, (whole * real).dtype)

# %% [markdown]
# A `float32` takes 4 bytes and holds about 7 digits. That is enough for weights, but beware of large whole numbers:
# beyond 2²⁴ not every one of them exists.

# %%
print([int(torch.tensor(2**24 + step, dtype=torch.float32)) - 2**24 for step in range(5)])

# %% [markdown]
# A layer multiplies its inputs by its weights, and both must have the same dtype.

# %%
try:
    nn.Linear(3, 1)(torch.tensor([[1, 2, 3]]))
except RuntimeError as error:
    print(error)

# %% [markdown]
# Text has to become numbers. The **encoder** does this, and learns from train alone how.
# A number is scaled. A category becomes a code: 0 for its first level, 1 for the next.

# %%
recipe = nodes.Recipe.model_validate(
    {section: catalog.load(f"params:salaries.{section}") for section in ("encoding", "model", "training")}
)
encoder = nodes.fit_encoder(clean_rows, splits, recipe, data)
train, valid, test = nodes.build_tensors(clean_rows, splits, encoder)
features, targets = train.tensors
print(features.shape, features.dtype, targets.shape, targets.dtype)
print(features[0])

# %% [markdown]
# A code says which level is meant, and not how much. So the network sees each level as a feature of its own, which is
# 1 or 0 (one-hot). That makes many features out of few columns.

# %%
print(f"{features.shape[1]} columns, {len(encoder.feature_names)} features, such as {encoder.feature_names[1:5]}")

# %% [markdown]
# The target is scaled as well: its mean over train becomes 0 and its standard deviation 1.
# The network starts with outputs near 0, so it starts near the mean. `decode` gives dollars again.

# %%
print(f"mean {targets.mean():.3f}, standard deviation {targets.std(correction=0):.3f}")
print(f"an output of 0 means {encoder.target.decode(torch.zeros(1)).item():,.0f} dollars")

# %% [markdown]
# ## Batches
#
# A `TensorDataset` keeps features and targets together. A `DataLoader` deals them out in batches, in a new order each
# epoch. An **epoch** is one pass over train. The number of rows of train chooses the options that are `auto`, such as
# the size of a batch.

# %%
recipe = recipe.fitted(len(train), is_table=True)
loader = DataLoader(train, batch_size=recipe.training.batch_size, shuffle=True)
sizes = [len(batch_targets) for _, batch_targets in loader]
print(f"{len(train)} rows: {len(sizes)} batches of {sizes[0]}, the last of {sizes[-1]}")

# %% [markdown]
# Torchlane has batches of its own. They hold the same rows in the same order, but many rows are gathered at once,
# which is faster.

# %%
from torchlane.core.training.batches import Batches

torch.manual_seed(0)
theirs = [batch[0] for batch in loader]
torch.manual_seed(0)
ours = [batch[0] for batch in Batches(train, recipe.training.batch_size)]
print("same batches:", all(map(torch.equal, theirs, ours)))

# %% [markdown]
# ## Layers and their parameters
#
# A linear layer from *n* to *m* numbers computes *m* sums. Each has *n* weights and a bias: (*n* + 1) · *m* parameters.

# %%
layer = nn.Linear(len(encoder.feature_names), 64)
counted = sum(parameter.numel() for parameter in layer.parameters())
print(f"counted {counted}, and by the formula {(len(encoder.feature_names) + 1) * 64}")

# %% [markdown]
# Two linear layers one after another are only another linear layer. An **activation** between them lets the network
# bend: `ReLU` gives 0 for what is negative, and leaves the rest. `GELU`, which is used here, does nearly the same, but
# without a corner.
#
# This is the network of the use case. Its first layer looks up the weights of a level, instead of multiplying them by
# 1 and 0.

# %%
from torchlane.core.networks import build_network, describe_capacity

torch.manual_seed(0)
network = build_network(recipe.model, encoder)
print(network)
print(describe_capacity(network))

# %% [markdown]
# ## Loss: what counts as a mistake
#
# The loss says in one number how wrong the outputs are. Training makes it small, so it decides what the network
# cares about. Here is what three losses say to a small, a medium and a large error, and how hard each pulls
# (its gradient).

# %%
errors = torch.tensor([0.1, 1.0, 10.0], requires_grad=True)
rows = []
for name, loss in {"squared": nn.MSELoss, "absolute": nn.L1Loss, "Huber": nn.HuberLoss}.items():
    each = loss(reduction="none")(errors, torch.zeros(3))
    (pull,) = torch.autograd.grad(each.sum(), errors)
    rows.append([name, *each.tolist(), *pull.tolist()])
pd.DataFrame(rows, columns=["loss", "of 0.1", "of 1", "of 10", "pull at 0.1", "pull at 1", "pull at 10"]).round(3)

# %% [markdown]
# The squared error is ruled by large errors. The absolute error pulls equally at all. Huber is squared where errors are
# small, and absolute where they are large.
#
# The best constant shows the difference. Under the squared error it is the mean, under the absolute error the median.

# %%
salaries = encoder.target.decode(targets).flatten()
tried = torch.arange(0, 300_000, 500, dtype=torch.float64)
apart = salaries[:, None] - tried[None]  # (rows, constants)
for name, loss, known in [("squared", apart**2, salaries.mean()), ("absolute", apart.abs(), salaries.median())]:
    print(f"{name}: best of the tried constants {tried[loss.mean(0).argmin()]:,.0f}; mean or median {known:,.0f}")

# %% [markdown]
# ## Optimizer and learning rate
#
# The gradient of the loss says for each weight in which direction the loss rises. A step goes the other way, and the
# **learning rate** says how far. Let the loss be (w - 3)², and start at w = 0.

# %%
figure = Figure()
for rate in (0.02, 0.3, 0.95, 1.05):
    w = torch.zeros(1, requires_grad=True)
    descent = torch.optim.SGD([w], lr=rate)
    path = [w.item()]
    for _ in range(15):
        descent.zero_grad()
        ((w - 3) ** 2).sum().backward()
        descent.step()
        path.append(w.item())
    figure.add_trace(Scatter(y=path, name=f"rate {rate}"))
    print(f"rate {rate}: after 15 steps {path[-1]:.2f} from the goal 3")
figure.update_layout(template="plotly_white", colorway=qualitative.Safe, xaxis_title="step", yaxis_title="w")

# %% [markdown]
# A small rate is slow. A good one arrives. A large one jumps from side to side, and one that is too large ends up
# farther away with every step.
#
# Weights need different step lengths. `Adam` gives each weight its own, from the size of its latest gradients.
# Below, the loss is a hundred times steeper in one direction than in the other.


# %%
def loss_after(made: type, rate: float, steps: int = 100) -> float:
    """Descend from (0, 0) to (1, 1), with a loss that is 100 times steeper in the first direction."""
    w = torch.zeros(2, requires_grad=True)
    optimizer = made([w], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (torch.tensor([100.0, 1.0]) * (w - 1) ** 2).sum()
        loss.backward()
        optimizer.step()
    return loss.item()


rates = (0.001, 0.003, 0.009, 0.03, 0.1, 0.3)
losses = {made.__name__: [loss_after(made, rate) for rate in rates] for made in (torch.optim.SGD, torch.optim.Adam)}
pd.DataFrame(losses, index=pd.Index(rates, name="learning rate"))

# %% [markdown]
# `NaN` means that w has grown beyond all numbers. For `SGD`, the steep direction forbids rates at which the flat
# direction would be fast. `Adam` does not mind the difference. `AdamW` is Adam with **weight decay**, which draws all
# weights towards 0, so that none grows without need.

# %% [markdown]
# ## The training loop, by hand
#
# Each step is the same five lines: forget the old gradients, compute the outputs and the loss, compute the gradients,
# move the weights.
#
# After each epoch the loss on valid is looked at. As long as the network learns what holds for other rows too, it
# falls. Then it rises, because the network begins to learn train by heart. So the weights of the best epoch are kept,
# and training ends when there was no better one for a while. This is **early stopping**.
#
# `train()` and `eval()` switch dropout on and off, which is active in training only (see the notebook `digits`).
#
# Torchlane would then train once more, on train and valid together (`refit`). This notebook looks at valid itself, so
# it has set `refit` to false at its beginning. It has also set `model.numbers` to `plain`: by default the network sees
# how far a number has come through each of 16 bins as well.

# %%
import copy
import math

options = recipe.training
criterion = nn.MSELoss()


def train_by_hand(seed: int) -> tuple[dict, list]:
    """Train one network; return the best weights, and the losses (train, valid) of each epoch."""
    torch.manual_seed(seed)
    network = build_network(recipe.model, encoder)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, **options.optimizer.arguments)
    loader = DataLoader(train, batch_size=options.batch_size, shuffle=True)
    valid_features, valid_targets = valid.tensors
    lowest, best_epoch, best_weights, history = math.inf, 0, {}, []
    for epoch in range(1, options.epochs + 1):
        network.train()
        total = 0.0
        for batch_features, batch_targets in loader:
            optimizer.zero_grad()
            loss = criterion(network(batch_features), batch_targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch_targets)
        network.eval()
        with torch.no_grad():
            valid_loss = criterion(network(valid_features).double(), valid_targets.double()).item()
        history.append((total / len(train), valid_loss))
        if valid_loss < lowest:
            lowest, best_epoch, best_weights = valid_loss, epoch, copy.deepcopy(network.state_dict())
        if epoch - best_epoch >= options.patience_epochs:
            break
    return best_weights, history


weights, history = train_by_hand(seed=0)
best = min(range(len(history)), key=lambda epoch: history[epoch][1]) + 1
print(f"{len(history)} epochs; the lowest loss on valid is {history[best - 1][1]:.4f}, in epoch {best}")

# %%
figure = Figure()
for name, curve in zip(("train", "valid"), zip(*history, strict=True), strict=True):
    figure.add_trace(Scatter(x=list(range(1, len(history) + 1)), y=curve, name=name))
figure.add_vline(best, line_dash="dot")
figure.update_layout(template="plotly_white", colorway=qualitative.Safe, xaxis_title="epoch", yaxis_title="loss")

# %% [markdown]
# ## The same, by Torchlane
#
# One network, the same seed, the same options. Not only are the results alike: each weight is equal to the last bit.

# %%
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model


def train_with(members: int):
    """Train networks with the seeds 0, 1, 2 and so on."""
    lesson = Lesson(train, valid, encoder, options.model_copy(update={"members": members}))
    return train_model(lesson, data, recipe.model, NoCheckpoints())


single, its_history = train_with(members=1)
print("same weights:", all(torch.equal(single.weights[name][0], weight) for name, weight in weights.items()))
print("same losses on valid:", its_history["valid_loss"].tolist() == [valid_loss for _, valid_loss in history])

# %% [markdown]
# ## Many networks instead of one
#
# Another seed gives another network, with other mistakes. The mean of several predictions is usually better than
# most of them, since some of their mistakes cancel out. Torchlane trains the networks at once, as one program. They
# share most of their weights while they train, and each keeps a few of its own, such as the scales of its columns.

# %%
ensemble, _ = train_with(members=16)
test_features, test_targets = test.tensors
truth = encoder.target.decode(test_targets).flatten()
each = ensemble.member_predictions(test_features)  # dollars, (members, rows)
single_errors = (each - truth).abs().mean(1)
joint_error = (each.mean(0) - truth).abs().mean()
print(f"one network alone is off by {single_errors.min():,.0f} to {single_errors.max():,.0f} dollars on test")
n_worse = int((single_errors > joint_error).sum())
print(f"their mean is off by {joint_error:,.0f}, which is better than {n_worse} of the {len(each)}")

# %% [markdown]
# ## How sure is it?
#
# A number alone says nothing about how far off it may be. The errors on valid do: of 10 new rows, 9 will be off by no
# more than 9 of 10 rows of valid were. This is **split conformal prediction**. Torchlane also makes the interval
# wider where the networks disagree, and makes up for the fact that valid has chosen the epoch.

# %%
valid_features, valid_targets = valid.tensors
valid_errors = (
    ensemble.member_predictions(valid_features).mean(0) - encoder.target.decode(valid_targets).flatten()
).abs()
print(f"9 of 10 rows of valid are off by at most {valid_errors.quantile(0.9):,.0f} dollars")
for coverage in (0.5, 0.8, 0.9):
    table = ensemble.describe_predictions(test_features, coverage)
    inside = ((torch.tensor(table["low"]) <= truth) & (truth <= torch.tensor(table["high"]))).double().mean()
    print(
        f"asked to hold {coverage:.0%} of the rows, intervals hold {inside:.0%} of test; "
        f"their mean width is {(table['high'] - table['low']).mean():,.0f} dollars"
    )

# %% [markdown]
# ## The pipeline
#
# All of this is one command. It gives the same networks as above.

# %%
written = session.run(pipeline_names=["salaries"])

# %%
model = catalog.load("salaries.model")
print("same weights:", all(torch.equal(model.weights[name], weight) for name, weight in ensemble.weights.items()))
metrics = catalog.load("salaries.metrics")
for part in ("train", "valid", "test", "baseline"):
    print(f"{part:9} off by {metrics[part]['mean_absolute_error']:8,.0f} dollars, R² {metrics[part]['r2_score']:.3f}")

# %% [markdown]
# R² is 1 for a perfect prediction, and 0 for the mean.

# %%
catalog.load("salaries.predictions_figure")

# %% [markdown]
# ## Fine-tuning: new rows, few of them
#
# A trained model knows the field already. For new rows it need not start from nothing: training goes on from its
# weights. This is **transfer learning**. The early layers hardly move, since they hold what is true in general, and
# the last layer moves most. `layer_decay` says how much less each layer moves than the one after it.

# %%
fine_tuning = catalog.load("params:salaries.fine_tuning")
print(f"rate of the last layer {fine_tuning.learning_rate}; each layer before moves at {fine_tuning.layer_decay} of it")

# %% [markdown]
# The file `salaries_new.csv` has new rows. A session runs once, so a new one is made first.
# `repeats` says on how many splits of the new rows the models are compared.

# %%
settings = f"{settings},salaries.fine_tuning.repeats=2"
# %reload_kedro --params=output_root={folder},{settings}

# %%
written = session.run(pipeline_names=["salaries.fine_tune"])

# %% [markdown]
# Three models are compared on the same held-out new rows: the parent as it is, one trained from scratch on the new
# rows alone, and the fine-tuned one.

# %%
scores = catalog.load("salaries.comparison_scores")
scores.groupby("model")["mean_absolute_error"].mean().round().sort_values()

# %% [markdown]
# New rows of the same kind as the old ones are the easy case: the parent is good already.
# `fine_tuned_metrics` says what was gained, and what of the old was forgotten.

# %%
forgetting = catalog.load("salaries.fine_tuned_metrics")["forgetting"]
for name in ("parent", "fine_tuned"):
    print(f"{name}: off by {forgetting[name]['mean_absolute_error']:,.0f} dollars on the old test rows")

# %%
temporary.cleanup()
