#!/usr/bin/env bash
# scikit-learn 1.9.1: QuantileTransformer with a normal output depends on the unit of a column.
#
# Ranks do not depend on units, so one expects the same scores of a length in metres and in kilometres. But with
# output_distribution="normal" each value within 1e-7 of the lowest or highest one of train, an absolute distance in the
# unit of the column, gets the score of that end, 5.2. A column whose values are small (seconds of a signal, shares of a
# genome, molar concentrations) loses its middle without a warning; output_distribution="uniform" does not do this.
#
# Seen: 1,000 lognormal values have 1,000 scores in their own unit; multiplied by 1e-7, 54 % of the scores are 5.2 or
# -5.2; by 1e-8, 99.6 %; by 1e-9 all rows have one and the same score
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from sklearn.preprocessing import QuantileTransformer

values = np.random.default_rng(0).lognormal(size=(1000, 1))
for unit, at_ends in ((1, (0.001, 0.003)), (1e-7, (0.5, 0.6)), (1e-8, (0.99, 1)), (1e-9, (1, 1))):
    scores, uniform = (
        QuantileTransformer(n_quantiles=1000, output_distribution=kind).fit_transform(values * unit)
        for kind in ("normal", "uniform")
    )
    share = (np.abs(scores) > 5).mean()
    print(f"unit {unit:g}: {len(np.unique(scores.round(6)))} scores, {share:.1%} at the ends")
    assert at_ends[0] <= share <= at_ends[1] and len(np.unique(uniform.round(6))) == 1000
PYTHON
