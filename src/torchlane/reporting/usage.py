"""How to use a model: commands with the paths of a use case, the environment and the folders of its run."""

import shlex
from collections.abc import Mapping
from typing import Any


def describe_use(place: Mapping[str, Any], features: list[str], task: str) -> dict[str, str]:
    """Write the programs and commands that use the model: from `python`, on a `schedule`, by `onnx`, and `again`.

    `place` has the `use_case`, the `model` file, the `inbox`, the `environment` (None for that of every day) and the
    folders that the run was `given`.
    """
    use_case, model = place["use_case"], str(place["model"])
    exported = model.removesuffix(".safetensors") + ".onnx"
    run = shlex.join(["uv", "run", "kedro", "run", f"--pipeline={use_case}", *_where(place)])
    predict = shlex.join(["uv", "run", "kedro", "run", f"--pipeline={use_case}.predict", *_where(place)])
    return {
        "python": _program(model, features, task),
        "schedule": f"# put files into {place['inbox']}, then, as often as you like:\n{predict}",
        "onnx": shlex.join(["uv", "run", "torchlane", "export", model, exported]),
        "again": run,
    }


def _where(place: Mapping[str, Any]) -> list[str]:
    given = {name: folder for name, folder in place["given"].items() if folder}
    folders = ",".join(f"{name}={folder}" for name, folder in given.items())
    env = [f"--env={place['environment']}"] if place["environment"] else []
    return [*env, *([f"--params={folders}"] if folders else [])]


def _program(model: str, features: list[str], task: str) -> str:
    beside = "spread and interval" if task == "regression" else "the probability of each class"
    columns = " ".join(", ".join(features[:4]).split()) + (", …" if len(features) > 4 else "")
    return (
        "import pandas as pd\nimport torchlane\n\n"
        f"model = torchlane.load({model!r})\n"
        f'rows = pd.read_csv("new.csv", keep_default_na=False)\n'
        f"# its columns: {columns}\n"
        f"print(model.predict(rows))\n"
        f"# the prediction, and beside it {beside}\n"
    )
