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
# # Tour: what a run leaves behind, and how to look at it
#
# Torchlane takes a table to a trained model. Each step on the way leaves an artifact in a file.
# A **catalog** knows the files by name, so that you never have to know where they are.
# This notebook runs one use case, `salaries`, and opens what it leaves.
#
# You need no knowledge of Kedro or PyTorch to follow it.

# %% [markdown]
# ## Open the project
#
# The first line loads the project, whether the notebook is opened in `notebooks/` or in the folder above.
# It makes four variables: `context`, `catalog`, `pipelines` and `session`.

# %%
# %load_ext kedro.ipython

# %% [markdown]
# Everything that this notebook writes goes into a temporary folder, so that your own results stay as they are.
# `%reload_kedro` makes the four variables anew. Its `--params` are those of `kedro run`.
# Without them you work with the files in `data/`.

# %%
import tempfile

temporary = tempfile.TemporaryDirectory(prefix="torchlane_")
folder = temporary.name
# %reload_kedro --params=output_root={folder}

# %% [markdown]
# ## The pipelines
#
# A pipeline is a series of steps, called nodes. There are three of them for each use case:
# one trains, one fine-tunes a trained model to new rows, and one scores files as they arrive.

# %%
sorted(pipelines)

# %% [markdown]
# A node is a plain function. It takes datasets and options (`params:…`), and makes other datasets.
# Each has the tag of its stage: `prepare`, `tune`, `train`, `evaluate` or `report`.

# %%
for node in pipelines["salaries"].nodes:
    made = ", ".join(output.partition(".")[2] for output in node.outputs)
    print(f"{min(node.tags):9} {node.name.rpartition('.')[2]:20} -> {made}")

# %% [markdown]
# ## Load from the catalog
#
# The raw rows are there before any run. They are text, exactly as the file has them.

# %%
raw_rows = catalog.load("salaries.raw_rows")
raw_rows.head(3)

# %% [markdown]
# The options of a use case are in the catalog too, a section at a time.
# What `conf/base/parameters/salaries.yml` does not set has its default. `auto` leaves a number to the rows of train.

# %%
training = catalog.load("params:salaries.training")
print(f"members: {training.members}; batch_size: {training.batch_size}; optimizer: {training.optimizer.name}")

# %% [markdown]
# ## Run it
#
# This does what `kedro run --pipeline=salaries` does on the command line, and prints the same log.

# %%
written = session.run(pipeline_names=["salaries"])

# %% [markdown]
# ## The metrics
#
# They are in the units of the file, here US dollars.
# `baseline` is the score of the best constant: of someone who gives the same answer for every row.

# %%
metrics = catalog.load("salaries.metrics")
model_error, constant_error = (metrics[part]["mean_absolute_error"] for part in ("test", "baseline"))
print(f"The model is off by {model_error:,.0f} dollars on average, and the best constant by {constant_error:,.0f}.")
print(f"This was measured on {metrics['rows']['test']} rows that took no part in the training.")

# %% [markdown]
# ## The figures
#
# A figure is a dataset as well. It is drawn when it is the last line of a cell.

# %%
print(sorted(name for name in pipelines["salaries"].all_outputs() if name.endswith("_figure")))
catalog.load("salaries.predictions_figure")

# %%
catalog.load("salaries.history_figure")

# %% [markdown]
# ## What drives it
#
# How much worse does the model get if the values of one column are shuffled among the rows? That is the importance of
# the column: the drop of the metric, here on test.

# %%
catalog.load("salaries.feature_importances")[["feature", "metric", "importance"]].head(5)

# %% [markdown]
# ## What a good colleague would warn of
#
# Each warning has a code, what was seen, and what to do. `docs/warnings.md` explains the codes.

# %%
for each in catalog.load("salaries.warnings")["warnings"]:
    print(f"{each['code']}: {each['warning']}\n  -> {each['remedy']}\n")

# %% [markdown]
# ## The model
#
# The model is one file. It holds the weights, and all that is needed to predict raw rows.

# %%
model = catalog.load("salaries.model")
model

# %% [markdown]
# `predict` takes rows as the file has them. For a number, it also gives the ends of an interval.

# %%
model.predict(raw_rows.head(3))

# %% [markdown]
# The same works outside of any notebook, with `torchlane.load("data/06_models/salaries/model.safetensors")`.
#
# The interval is to hold the truth for 9 of 10 new rows. Here is the share of test rows for which it did.

# %%
predictions = catalog.load("salaries.test_predictions")
numbers = predictions[["truth", "prediction", "low", "high"]].astype(float)
inside = numbers["truth"].between(numbers["low"], numbers["high"])
print(f"{inside.sum()} of {len(inside)} test rows lie in their interval: {inside.mean():.0%}.")

# %% [markdown]
# ## The files
#
# All this stands in files that other programs can read. These are in the folder of the reports.
# `report.html` is one page that tells the whole story. It opens in any browser, without a network.

# %%
from pathlib import Path

sorted(path.name for path in Path(folder, "08_reporting", "salaries").iterdir())

# %% [markdown]
# ## Change an option, and run one stage
#
# A session runs once. For another run you make the variables anew with `%reload_kedro`, and set options there.
# Below, four networks take the place of sixteen, each of at most five epochs.
#
# The rows are prepared already, so only two stages have to run. `tags` names them.

# %%
options = "salaries.training.members=4,salaries.training.epochs=5"
# %reload_kedro --params=output_root={folder},{options}

# %%
written = session.run(pipeline_names=["salaries"], tags=["train", "evaluate"])

# %% [markdown]
# The catalog now holds the new model. The old one was replaced, as it is on the command line.

# %%
smaller = catalog.load("salaries.model")
error = catalog.load("salaries.metrics")["test"]["mean_absolute_error"]
print(f"{model.n_members} networks were off by {model_error:,.0f} dollars, these {smaller.n_members} by {error:,.0f}.")

# %% [markdown]
# `%reload_kedro` also reads the source of Torchlane again.
# Import what you need from `torchlane` after it, so that old and new classes do not meet.
#
# A session of your own does without that. Its `runtime_params` are what `--params` is on the command line.
# Here it draws the figures of the new model. It is given the options of that model again, since a stage refuses what
# was made with others. The catalog knows the same folder, so it loads them.

# %%
from kedro.framework.session import KedroSession

given = {"output_root": folder, "salaries": {"training": {"members": 4, "epochs": 5}}}
with KedroSession.create(context.project_path, runtime_params=given) as another:
    another.run(pipeline_names=["salaries"], tags=["report"])
catalog.load("salaries.history_figure")

# %% [markdown]
# ## Where to go on
#
# The other notebooks explain what happens inside, each with the rows of one use case:
# `salaries` (tensors, layers, losses, optimizers, the training loop), `water_potability` (missing values,
# activations, rare classes), `zoo` (several classes, few rows) and `digits` (images).
#
# `kedro viz run` shows the pipeline in a browser, and `%run_viz` shows it in a notebook.

# %%
temporary.cleanup()
