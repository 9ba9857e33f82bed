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
# # Digits: images, convolutions, dropout, and what can go wrong inside a network
#
# An image of a handwritten digit is to be read: ten classes. The images are the small ones that come with scikit-learn,
# so that everything here takes seconds.

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
from plotly.graph_objects import Figure, Heatmap
from plotly.subplots import make_subplots
from torch import Tensor, nn

from torchlane.pipelines.supervised import nodes

torch.set_num_threads(1)

# %% [markdown]
# ## An image is a tensor
#
# Its axes are channels, height and width. These images are grey, so they have one channel. A batch adds an axis in
# front. A pixel is a whole number from 0 to 255, dtype `uint8`, which takes a quarter of the memory of `float32`.
# The first layer of the network scales it.

# %%
data, split = catalog.load("params:digits.data"), catalog.load("params:digits.split")
clean_rows, rejected_rows = nodes.check_rows(catalog.load("digits.raw_rows"), data)
splits = nodes.split_rows(clean_rows, rejected_rows, data, split)
recipe = nodes.Recipe.model_validate(
    {section: catalog.load(f"params:digits.{section}") for section in ("encoding", "model", "training")}
)
encoder = nodes.fit_encoder(clean_rows, splits, recipe, data)
train, valid, test = nodes.build_tensors(clean_rows, splits, encoder)
images, labels = train.tensors
print(tuple(images.shape), images.dtype, "pixels from", images.min().item(), "to", images.max().item())


# %%
def show(pictures: Tensor, titles: list[str], height: int = 170) -> Figure:
    """Draw pictures (n, height, width) in a row, each on a scale of its own."""
    figure = make_subplots(cols=len(pictures), subplot_titles=titles, horizontal_spacing=0.02)
    for column, picture in enumerate(pictures, start=1):
        figure.add_trace(Heatmap(z=picture, colorscale="Greys", showscale=False), row=1, col=column)
        figure.update_yaxes(scaleanchor=f"x{column}", autorange="reversed", row=1, col=column)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure.update_layout(height=height, margin={"t": 30, "b": 5, "l": 5, "r": 5})


show(images[:10, 0], [encoder.target.labels[label] for label in labels[:10]])

# %% [markdown]
# ## Convolution
#
# A convolution moves a small window over the image, and writes down at each place the sum of the pixels under it times
# the weights of the window, the **filter**. Here is one by hand. This filter answers where it is dark above and bright
# below.

# %%
picture = images[0, 0].float() / 255
edge = torch.tensor([[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
height, width = picture.shape[0] - 2, picture.shape[1] - 2
by_hand = torch.zeros(height, width)
for row in range(height):
    for column in range(width):
        by_hand[row, column] = (picture[row : row + 3, column : column + 3] * edge).sum()
by_torch = nn.functional.conv2d(picture[None, None], edge[None, None])[0, 0]
print(
    "same:", torch.allclose(by_hand, by_torch, atol=1e-6), "of", tuple(picture.shape), "is left", tuple(by_torch.shape)
)

# %% [markdown]
# Without **padding** the result is smaller, since the window has to lie within the image. With a rim of zeros it keeps
# its size. The same filter, turned by a quarter, answers to edges from left to right.

# %%
filters = torch.stack([edge, edge.T])[:, None]
answers = nn.functional.conv2d(picture[None, None], filters, padding="same")[0]
show(torch.stack([picture, *answers]), ["image", "dark over bright", "dark beside bright"], height=230)

# %% [markdown]
# A linear layer has a weight for each pair of pixel and output. A convolution uses the same few weights at every place.
# What it learns at one place holds for all of them, and it has far fewer parameters.

# %%
n_pixels, n_filters = picture.numel(), recipe.model.widths[0]
linear, convolution = nn.Linear(n_pixels, n_filters * n_pixels), nn.Conv2d(1, n_filters, 3, padding="same")
for name, layer in (("linear", linear), ("convolution", convolution)):
    print(f"{name}: {sum(each.numel() for each in layer.parameters()):,} parameters for as many outputs")

# %% [markdown]
# ## The network
#
# Two stages of convolutions. Between them the image is halved (`MaxPool2d` keeps the largest of four neighbours), so
# that the next filters see more of it. At the end, the mean of each channel goes to a linear layer.

# %%
from torchlane.core.networks import build_network

torch.manual_seed(0)
network = build_network(recipe.model, encoder).eval()
passing = images[:1]
for name, layer in [*network[:-1].named_children(), *network[-1].named_children()]:
    passing = layer(passing)
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AdaptiveAvgPool2d | nn.Linear) or name == "pixels":
        print(f"{name:16} {tuple(passing.shape)}")

# %% [markdown]
# ## Augmentation
#
# A digit that is moved or turned a little is still the same digit. So each batch is distorted at random, anew in each
# epoch. The network never sees the very same image twice, and learns what does not matter.

# %%
from torchlane.core.networks.augmentation import Augmentation

torch.manual_seed(0)
augment = Augmentation(recipe.training.augmentation).train()
print(recipe.training.augmentation.model_dump(exclude_defaults=True))
show(torch.stack([images[0, 0].float(), *augment(images[:1].expand(7, -1, -1, -1))[:, 0]]), ["image", *["moved"] * 7])

# %% [markdown]
# ## Dropout
#
# Dropout sets a share of the numbers to 0 at random, in training only. No unit can rely on a single other one. What is
# left is enlarged, so that the sum stays the same on average. In use (`eval`) nothing is left out.

# %%
torch.manual_seed(0)
dropout = nn.Dropout(0.5)
ones = torch.ones(10)
print("training:", dropout.train()(ones).tolist())
print("in use:  ", dropout.eval()(ones).tolist())
print(f"mean of many in training: {dropout.train()(torch.ones(100_000)).mean():.3f}")

# %% [markdown]
# ## Dead units and saturation
#
# A network may fail to learn, and the loss alone does not say why. So look inside. Torchlane watches the first network
# of a training on one fixed batch: how large the gradients are, how many ReLUs give 0 for every row (**dead**: no
# gradient passes them, so they stay dead), how many sigmoids stand at 0 or 1 (**saturated**).
#
# Here are three trainings of a perceptron. The second takes steps that are far too large. The third has sigmoids, and
# begins with steps that drive them to their limits.

# %%
import logging

from torchlane.core.judging.diagnosis import diagnose
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import DiagnosisOptions, ModelOptions, OptimizerOptions
from torchlane.core.training.observation import Observer

logging.getLogger("torchlane").setLevel(logging.WARNING)  # the findings are printed below


def watch(activation: str, optimizer: str, learning_rate: float) -> dict:
    """Train a perceptron, and return its diagnosis."""
    model_options = ModelOptions(widths=(64, 64), activation=activation, dropout=0)
    changes = {"members": 1, "epochs": 5, "augmentation": None, "scheduler": None, "learning_rate": learning_rate}
    training = recipe.training.model_copy(update={**changes, "optimizer": OptimizerOptions(name=optimizer)})
    observer = Observer(DiagnosisOptions(overfit_steps=0))
    lesson = Lesson(train, valid, encoder, training)
    trained, history = train_model(lesson, data, model_options, NoCheckpoints(), observer=observer)
    score = history["valid_accuracy_score"].iloc[-1]
    print(f"\n{activation}, {optimizer} at rate {learning_rate}: {score:.0%} of valid right")
    diagnosis = diagnose(observer, history, encoder.target, trained.details["capacity"])
    for found in diagnosis["findings"]:
        print(f"- {found['finding']}\n  try: {'; '.join(found['remedies'])}")
    return diagnosis


seen = {
    "sound": watch("ReLU", "AdamW", 0.003),
    "dead": watch("ReLU", "AdamW", 0.5),
    "saturated": watch("Sigmoid", "AdamW", 0.5),
}

# %% [markdown]
# The shares of dead and saturated units by layer, after the last epoch:

# %%
lines = pd.concat([pd.DataFrame(diagnosis["layers"]).assign(training=name) for name, diagnosis in seen.items()])
last = lines[(lines["epoch"] == lines["epoch"].max()) & lines["layer"].str.contains("activation")]
last.pivot_table(index="layer", columns="training", values=["dead_share", "saturated_share"]).round(2)

# %% [markdown]
# ## Transfer: what was learned for some images helps with others
#
# Somebody else's digits lean to one side. There are only a few labelled images of them. A network that was trained on
# upright digits knows strokes and bends already, so it should need few images to get used to the slant.


# %%
def lean(pictures: Tensor) -> Tensor:
    """Shear pictures (n, 1, height, width), as a hand that leans to one side."""
    shear = torch.tensor([[[1.0, 0.6, 0.0], [0.0, 1.0, 0.0]]]).expand(len(pictures), -1, -1)
    grid = nn.functional.affine_grid(shear, list(pictures.shape), align_corners=False)
    return nn.functional.grid_sample(pictures.float(), grid, align_corners=False)


few = torch.cat([(labels == digit).nonzero()[:3, 0] for digit in range(10)])
new, new_truth = lean(images[few]), labels[few]
new_test, new_test_truth = lean(test.tensors[0]), test.tensors[1]
show(new[::3, 0], [str(digit) for digit in range(10)])

# %% [markdown]
# Four networks are compared on leaning digits: one trained on upright digits, as it is; one that learns from the few
# new images alone; and two that go on from the first. Of these, one keeps its first convolutions as they are
# (**frozen**), and the other learns on with all of its layers, in smaller steps than at first. That is
# **fine-tuning**.

# %%
import copy


def learn(network: nn.Module, some: Tensor, truth: Tensor, epochs: int, learning_rate: float) -> nn.Module:
    """Train what is not frozen, with the loop of the notebook `salaries`."""
    free = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=learning_rate)
    for _ in range(epochs):
        network.train()
        for rows in torch.randperm(len(some)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(some[rows]), truth[rows]).backward()
            optimizer.step()
    return network.eval()


def freeze_first(network: nn.Module) -> nn.Module:
    """Freeze the first stage of convolutions."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("_1_" not in name)
    return network


torch.manual_seed(0)
parent = learn(build_network(recipe.model, encoder), images, labels, epochs=5, learning_rate=0.01)
candidates = {
    "parent as it is": parent,
    "from scratch": learn(build_network(recipe.model, encoder), new, new_truth, 40, 0.01),
    "first stage frozen": learn(freeze_first(copy.deepcopy(parent)), new, new_truth, 40, 0.003),
    "fine-tuned": learn(copy.deepcopy(parent), new, new_truth, 40, 0.003),
}
rows = {}
for name, candidate in candidates.items():
    with torch.no_grad():
        right = (candidate(new_test).argmax(1) == new_test_truth).double().mean().item()
    free = sum(parameter.numel() for parameter in candidate.parameters() if parameter.requires_grad)
    rows[name] = {"parameters that learn": free if name != "parent as it is" else 0, "right on leaning digits": right}
print(f"{len(new)} new images to learn from, {len(new_test)} to be judged on")
pd.DataFrame.from_dict(rows, orient="index").round(3)

# %% [markdown]
# The pipeline `digits.fine_tune` does this for real files, also with layers that learn slowly instead of not at all.
#
# ## The pipeline
#
# A few epochs do for a notebook. `kedro run --pipeline=digits` trains longer.

# %%
# %reload_kedro --params=output_root={folder},digits.training.epochs=5

# %%
written = session.run(pipeline_names=["digits"])

# %%
metrics = catalog.load("digits.metrics")
print(f"{metrics['test']['accuracy_score']:.1%} of {metrics['rows']['test']} test images are right")
catalog.load("digits.predictions_figure")

# %% [markdown]
# The images that were taken for another digit, and those that the network was least sure of:

# %%
predictions = catalog.load("digits.test_predictions")
probabilities = predictions.filter(like="probability_").astype(float).to_numpy()
hardest = torch.from_numpy(probabilities.max(1)).argsort()
wrong = torch.from_numpy((predictions["truth"] != predictions["prediction"]).to_numpy(copy=True))
picked = torch.cat([hardest[wrong[hardest]], hardest[~wrong[hardest]]])[:8]
tests = catalog.load("digits.test_tensors").tensors[0]
told = predictions.iloc[picked.tolist()]
show(tests[picked, 0], [f"{line.truth}, read as {line.prediction}" for line in told.itertuples()], height=150)

# %% [markdown]
# What the filters of the first layer have become:

# %%
weights = catalog.load("digits.model").network().get_submodule("network.convolution_1_1").weight.detach()
show(weights[:10, 0], [""] * 10, height=120)

# %%
temporary.cleanup()
