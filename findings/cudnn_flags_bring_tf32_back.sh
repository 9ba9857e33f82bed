#!/usr/bin/env bash
# PyTorch 2.15.0: `torch.backends.cudnn.flags`, entered to make convolutions deterministic, lets them take TF32 again in
# a process that has forbidden it.
#
# The context manager sets every flag that it is not given to a value of its own, and that of `allow_tf32` is True. So
# `with cudnn.flags(enabled=True, deterministic=True)` around the one computation that shall be exact rounds its float32
# convolutions to 10 bits. Where TF32 was forbidden in the newer spelling, cudnn.conv.fp32_precision = "ieee", the same
# line raises a RuntimeError before anything is computed, since it reads the older flag, which has not followed.
#
# The flags belong to the process and are read the same way without a GPU.
#
# Seen: allow_tf32 False outside, True inside, False after; with the newer spelling "mix of the legacy and new APIs"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
uv venv --quiet "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
from torch.backends import cudnn


def seen():
    return cudnn.allow_tf32, cudnn.conv.fp32_precision


cudnn.allow_tf32 = False
outside = seen()
with cudnn.flags(enabled=True, deterministic=True):
    inside = seen()
print("outside", outside, "inside", inside, "after", seen())
assert outside == seen() == (False, "none")
assert inside == (True, "tf32")

cudnn.allow_tf32 = True  # as a process begins
cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
try:
    with cudnn.flags(enabled=True, deterministic=True):
        raise SystemExit("flags can be entered now")
except RuntimeError as error:
    print(str(error).partition(".")[0])
    assert "mix of the legacy and new APIs" in str(error)
PYTHON
