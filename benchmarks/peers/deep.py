# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "numpy==2.4.6",
#     "pandas==3.1.1",
#     "pyarrow==26.0.1",
#     "pytabkit[models]==1.7.3",
#     "scikit-learn==1.9.1",
#     "torch==2.15.0",
# ]
# [tool.uv]
# exclude-newer = "2026-11-25T00:00:00Z" # which fixes all that they bring along
# ///
"""RealMLP-TD and TabM-D, pytabkit's networks with tuned defaults, in an environment of their own."""

from jobs import Fit, Job, Predict, n_threads, work
from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor, TabM_D_Classifier, TabM_D_Regressor


def network(regressor: type, classifier: type) -> Fit:
    """Fit a regressor or a classifier of pytabkit with its defaults, on the CPU."""

    def fit(job: Job) -> Predict:
        kind = regressor if job.task == "regression" else classifier
        model = kind(device="cpu", random_state=job.seed, n_threads=n_threads())
        model.fit(prepared(job, job.train), job.truth.to_numpy(), cat_col_names=job.categories)
        if job.task == "regression":
            return lambda rows: model.predict(prepared(job, rows)).reshape(-1)
        return lambda rows: job.probabilities(model.predict_proba(prepared(job, rows)), model.classes_)

    return fit


def prepared(job: Job, rows: object) -> object:
    """Categories with the levels of train; missing numbers, which these networks refuse, become the median."""
    rows = job.with_levels(rows)
    for name in job.numbers:
        if job.train[name].isna().any():
            rows[f"{name} is missing"] = rows[name].isna().astype(float)
        rows[name] = rows[name].fillna(job.train[name].median())
    return rows


if __name__ == "__main__":
    realmlp = network(RealMLP_TD_Regressor, RealMLP_TD_Classifier)
    work({"RealMLP-TD": realmlp, "TabM-D": network(TabM_D_Regressor, TabM_D_Classifier)})
