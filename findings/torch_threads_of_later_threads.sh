#!/usr/bin/env bash
# torch 2.15.0 (CPU, OpenMP): `torch.set_num_threads` is neither a setting of the process nor one of the thread. It
# holds for the calling thread, and for every thread that uses torch for the first time afterwards, but not for threads
# that have used it already, the main one included.
#
# A worker that takes one thread for itself so takes it for all workers that a pool starts later, and a main thread that
# sets two does not change the pool's older workers.
#
# Seen: main 4, then a worker sets 1: worker 1, main 4, a later worker 1; main sets 3: main 3, the older worker 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uv venv --quiet "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.4.6
cat > "$folder/threads.py" <<'PYTHON'
from concurrent.futures import ThreadPoolExecutor

import torch

torch.set_num_threads(4)
seen = {"main": torch.get_num_threads()}
with ThreadPoolExecutor(1) as older:
    older.submit(torch.set_num_threads, 1).result()
    seen["worker that set 1"] = older.submit(torch.get_num_threads).result()
    seen["main afterwards"] = torch.get_num_threads()
    with ThreadPoolExecutor(1) as later:
        seen["later worker"] = later.submit(torch.get_num_threads).result()
    torch.set_num_threads(3)
    seen["main that set 3"] = torch.get_num_threads()
    seen["older worker"] = older.submit(torch.get_num_threads).result()
print(seen)
assert list(seen.values()) == [4, 1, 4, 1, 3, 1], "the behaviour has changed"
PYTHON
"$folder/venv/bin/python" "$folder/threads.py"
