#!/usr/bin/env bash
# scikit-learn 1.9.1: log_loss of the same probabilities depends on whether they are stored as float32 or float64.
#
# Probabilities are clipped by the machine epsilon of the dtype that they come in. One certain and wrong answer costs 36.0
# as float64 and 15.9 as float32, so a network that predicts in float32 looks better than a forest (float64) that makes
# the very same mistake. Compare methods after a cast to one dtype.
#
# Seen: two certain answers that are wrong and one of a half, as float64 24.26, as float32 10.86
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from sklearn.metrics import log_loss

truth = [0, 1, 1]
wide = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
narrow = wide.astype(np.float32)
assert np.array_equal(wide, narrow)
losses = log_loss(truth, wide), log_loss(truth, narrow)
print(f"float64 {losses[0]:.2f}, float32 {losses[1]:.2f}")
assert losses[0] > 2 * losses[1]
PYTHON
