"""How to use a model: commands with the paths of a use case, the environment and the folders of its run."""

import shlex
from collections.abc import Mapping
from typing import Any


def describe_use(facts: Mapping[str, Any]) -> dict[str, str]:
    """Write the programs and commands that use the model: from `python`, on a `schedule`, by `onnx`, and `again`.

    The `place` of the facts has the `use_case`, the `model` file, the `inbox`, the `environment` (None for that of
    every day) and the folders that the run was `given`. Images are not scored on a schedule, so they have no command.
    """
    place = facts["place"]
    use_case, model = place["use_case"], str(place["model"])
    exported = model.removesuffix(".safetensors") + ".onnx"
    run = shlex.join(
        ["uv", "run", "kedro", "run", f"--pipeline={use_case}", *where(place["environment"], place["given"])]
    )
    predict = shlex.join(
        ["uv", "run", "kedro", "run", f"--pipeline={use_case}.predict", *where(place["environment"], place["given"])]
    )
    inbox = f"# put files into {place['inbox']}, then, as often as you like:\n"
    return {
        "python": _program_for_images(model) if facts["images"] else _program_for_tables(model, facts),
        "schedule": "" if facts["images"] else inbox + predict,
        "onnx": shlex.join(["uv", "run", "torchlane", "export", model, exported]),
        "again": run,
    }


def where(environment: str | None, given: Mapping[str, str | None]) -> list[str]:
    """Write the options of a command that name a run's environment, and the folders that it was given.

    >>> where("public", {"output_root": "/data/out", "raw_root": None})
    ['--env=public', '--params=output_root=/data/out']
    """
    folders = ",".join(f"{name}={folder}" for name, folder in given.items() if folder)
    return [*([f"--env={environment}"] if environment else []), *([f"--params={folders}"] if folders else [])]


def _program_for_tables(model: str, facts: Mapping[str, Any]) -> str:
    beside = "spread and interval" if facts["task"] == "regression" else "the probability of each class"
    names = [" ".join(str(row[0]).split()) for row in facts["asked"]["features"]["rows"]]
    columns = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return (
        "import pandas as pd\nimport torchlane\n\n"
        f"model = torchlane.load({model!r})\n"
        'rows = pd.read_csv("new.csv", keep_default_na=False)\n'
        f"# its columns: {columns}\n"
        "print(model.predict(rows))\n"
        f"# the prediction, and beside it {beside}\n"
    )


def _program_for_images(model: str) -> str:
    return (
        "import torchlane\nfrom torchlane.datasets.images import ImageFolderDataset\n\n"
        f"model = torchlane.load({model!r})\n"
        'rows = ImageFolderDataset(filepath="new").load()  # a folder with sub-folders of images\n'
        "print(model.predict(rows))  # the prediction, and beside it the probability of each class\n"
    )
