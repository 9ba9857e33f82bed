#!/usr/bin/env bash
# Kedro 1.7.0: hooks hear nothing of a run that ends with Ctrl-C.
#
# `on_pipeline_error` and `on_node_error` are called for an `Exception` only, and KeyboardInterrupt is none. So neither
# they nor `after_pipeline_run` run, and what a hook opened in `before_pipeline_run` (a lock, a tracker's run, a
# temporary table) stays open. On a command line the process ends anyway; in a notebook or a server it lives on.
#
# Seen: hooks called for a ValueError: before, node error, pipeline error; for a KeyboardInterrupt: before
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet kedro==1.7.0
mkdir -p "$folder/project/src/demo" "$folder/project/conf/base" "$folder/project/conf/local"
cd "$folder/project"
cat > pyproject.toml <<'TOML'
[tool.kedro]
package_name = "demo"
project_name = "demo"
kedro_init_version = "1.7.0"
source_dir = "src"
TOML
echo 'nothing: { type: MemoryDataset }' | tee conf/base/catalog.yml > conf/local/catalog.yml
cat > src/demo/__init__.py <<'PYTHON'
PYTHON
cat > src/demo/settings.py <<'PYTHON'
from demo.watching import Watching

HOOKS = (Watching(),)
PYTHON
cat > src/demo/watching.py <<'PYTHON'
from kedro.framework.hooks import hook_impl

called = []


class Watching:
    @hook_impl
    def before_pipeline_run(self):
        called.append("before")

    @hook_impl
    def on_node_error(self):
        called.append("node error")

    @hook_impl
    def on_pipeline_error(self):
        called.append("pipeline error")

    @hook_impl
    def after_pipeline_run(self):
        called.append("after")
PYTHON
cat > src/demo/pipeline_registry.py <<'PYTHON'
from kedro.pipeline import Node, Pipeline


def fail():
    raise ValueError


def interrupt():
    raise KeyboardInterrupt


def register_pipelines():
    return {each.__name__: Pipeline([Node(each, None, "nothing")]) for each in (fail, interrupt)}
PYTHON
DO_NOT_TRACK=1 "$folder/venv/bin/python" - <<'PYTHON'
import logging
from pathlib import Path

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

bootstrap_project(Path.cwd())
logging.disable(logging.CRITICAL)
from demo.watching import called

heard = {}
for name, error in {"fail": ValueError, "interrupt": KeyboardInterrupt}.items():
    called.clear()
    with KedroSession.create(Path.cwd()) as session:
        try:
            session.run(pipeline_names=[name])
        except error:
            heard[name] = list(called)
print(heard)
assert heard == {"fail": ["before", "node error", "pipeline error"], "interrupt": ["before"]}
PYTHON
