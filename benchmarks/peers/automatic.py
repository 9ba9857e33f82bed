# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "autogluon.tabular[catboost,fastai,lightgbm,xgboost]==1.6.3",
#     "pyarrow==24.0.0",
#     "torch==2.13.0",
#     "torchvision==0.28.0",
# ]
# [tool.uv]
# exclude-newer = "2026-11-25T00:00:00Z" # which fixes all that they bring along
# ///
"""AutoGluon with a limit on its seconds, in an environment of its own.

`AUTOGLUON_PRESETS` names its presets, by default its own default.
"""

import os
import tempfile
from pathlib import Path

from autogluon.tabular import TabularPredictor
from jobs import Job, Predict, n_threads, work

METRICS = {"regression": "r2", "binary": "roc_auc", "multiclass": "accuracy"}


def autogluon(job: Job) -> Predict:
    """Let AutoGluon choose and stack; its models live in a temporary folder."""
    folder = tempfile.TemporaryDirectory()
    predictor = TabularPredictor(
        label=job.target, problem_type=job.task, eval_metric=METRICS[job.task], path=folder.name, verbosity=0
    )
    columns = [*job.features, job.target]
    limit, presets = float(os.environ["AUTOGLUON_SECONDS"]), os.environ.get("AUTOGLUON_PRESETS")
    predictor.fit(job.train[columns], presets=presets, time_limit=limit, num_cpus=n_threads(), num_gpus=0)

    def predict(rows: object) -> object:
        assert Path(folder.name).exists()  # it goes when this function does
        if job.task == "regression":
            return predictor.predict(rows).to_numpy()
        probabilities = predictor.predict_proba(rows)
        return job.probabilities(probabilities.to_numpy(), probabilities.columns)

    return predict


if __name__ == "__main__":
    work({"AutoGluon": autogluon})
