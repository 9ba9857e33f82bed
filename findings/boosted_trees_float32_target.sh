#!/usr/bin/env bash
# LightGBM 4.7.0, XGBoost 3.2.0 and CatBoost 1.2.10 keep the regression target as float32, whatever dtype it comes in.
#
# Near 1.7e9, the size of a Unix time in seconds, float32 numbers are 128 apart. A target that moves by 30 seconds there
# loses what is to be learned, with no warning. The same rows with 1.7e9 taken off the target are fitted well, and
# scikit-learn 1.9.1's HistGradientBoosting, which keeps float64, does not care.
#
# Seen (R² of 1,000 held-out rows, target as it is and with 1.7e9 taken off):
#   LightGBM 0.21 and 0.99, XGBoost -0.00 and 1.00, CatBoost 0.13 and 1.00, HistGradientBoosting 0.99 and 0.99
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lightgbm==4.7.0 xgboost-cpu==3.2.0 catboost==1.2.10 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
from catboost import CatBoostRegressor
from lightgbm import LGBMRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from xgboost import XGBRegressor

warnings.filterwarnings("ignore")
random = np.random.default_rng(0)
features = random.normal(size=(2000, 1))
seconds = 30 * features[:, 0] + random.normal(size=2000)
methods = {
    "LightGBM": LGBMRegressor(n_jobs=1, verbose=-1),
    "XGBoost": XGBRegressor(n_jobs=1),
    "CatBoost": CatBoostRegressor(iterations=200, thread_count=1, verbose=0, allow_writing_files=False),
    "HistGradientBoosting": HistGradientBoostingRegressor(),
}
for name, method in methods.items():
    scores = []
    for shift in (1.7e9, 0.0):
        target = seconds + shift
        method.fit(features[:1000], target[:1000])
        predicted = np.asarray(method.predict(features[1000:]), dtype=np.float64)
        scores.append(r2_score(target[1000:], predicted))
    print(f"{name}: R² {scores[0]:.2f} far from zero, {scores[1]:.2f} near it")
    assert scores[1] > 0.98, name
    assert scores[0] > 0.98 if name == "HistGradientBoosting" else scores[0] < 0.5, name
PYTHON
