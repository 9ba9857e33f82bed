#!/usr/bin/env bash
# Three libraries of boosted trees do three things with a data frame whose columns stand in another order than in fit.
#
# LightGBM 4.7.0 takes columns by position, although it knows their names, and predicts from the wrong ones in silence.
# XGBoost 3.2.0 refuses. CatBoost 1.2.10 takes them by name. A benchmark that builds its frames anew for each part can
# so be unfair to one of them without a word.
#
# Seen (R² on the training rows, columns swapped): LightGBM -2.1 (0.99 in order), XGBoost ValueError, CatBoost 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lightgbm==4.7.0 xgboost-cpu==3.2.0 catboost==1.2.10 scikit-learn==1.9.1 pandas==3.1.1
cd "$folder"
OMP_NUM_THREADS=1 venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
import pandas as pd
from catboost import CatBoostRegressor
from lightgbm import LGBMRegressor
from sklearn.metrics import r2_score
from xgboost import XGBRegressor

warnings.filterwarnings("error", category=UserWarning, message=".*feature.*")
rows = pd.DataFrame(np.random.default_rng(0).normal(size=(500, 2)), columns=["a", "b"])
target = 3 * rows["a"] - rows["b"]
swapped = rows[["b", "a"]]

lightgbm = LGBMRegressor(n_jobs=1, verbose=-1).fit(rows, target)
in_order, out_of_order = (r2_score(target, lightgbm.predict(each)) for each in (rows, swapped))
print(f"LightGBM: R² {in_order:.2f} in order, {out_of_order:.2f} swapped")
assert in_order > 0.95 and out_of_order < 0

try:
    XGBRegressor(n_jobs=1).fit(rows, target).predict(swapped)
    raise AssertionError("XGBoost took the swapped columns")
except ValueError as error:
    print("XGBoost:", str(error).splitlines()[0])

catboost = CatBoostRegressor(iterations=100, thread_count=1, verbose=0, allow_writing_files=False).fit(rows, target)
print(f"CatBoost: R² {r2_score(target, catboost.predict(swapped)):.2f} swapped")
assert np.array_equal(catboost.predict(rows), catboost.predict(swapped))
PYTHON
