#!/usr/bin/env bash
# Kedro 1.7.0: a generator node may yield nothing where its output is one name, and fails where it is a list of names.
#
# A node that yields is how large results are saved piece by piece, and how a node may decide to save nothing at all.
# With `outputs="one"` an empty generator ends well and saves nothing. With `outputs=["one", "two"]` the same function
# ends the run with an unpacking error out of Kedro's own code, which names neither the node nor its outputs.
#
# Seen: one name: no error; a list: ValueError "not enough values to unpack (expected 1, got 0)"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet kedro==1.7.0
cd "$folder"
DO_NOT_TRACK=1 venv/bin/python - <<'PYTHON'
import logging

from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

logging.disable(logging.CRITICAL)


def nothing():
    return
    yield


ended = {}
for name, outputs in {"one name": "one", "a list": ["one", "two"]}.items():
    try:
        SequentialRunner().run(Pipeline([Node(nothing, None, outputs, name="nothing")]), DataCatalog())
        ended[name] = "no error"
    except ValueError as error:
        ended[name] = str(error)
print(ended)
assert ended["one name"] == "no error"
assert "not enough values to unpack" in ended["a list"]
PYTHON
