"""Peers that live in this project's environment: scikit-learn, LightGBM, CatBoost and XGBoost.

Their settings are their defaults. What a library needs before it takes a table at all is done for
it: levels to indicators, gaps filled, numbers scaled for scikit-learn's, categories declared for the trees'.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .jobs import Job, Predict, n_threads

RIDGE_PENALTIES = np.geomspace(0.03, 300, 13)
INVERSE_PENALTIES = np.geomspace(1e-3, 1e3, 13)
SCORING = {"binary": "roc_auc", "multiclass": "accuracy"}
INNER_FOLDS = 5
MOST_LEVELS = 255  # that scikit-learn's boosted trees take in a column


def encoding(categories: list[str], numbers: list[str]) -> object:
    """One-hot levels, standardised numbers, medians for missing ones with a flag."""
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), categories),
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
    )


def linear(job: Job) -> Predict:
    """Ridge or logistic regression with the penalty that is best over five inner folds."""
    if job.task == "regression":
        folds = KFold(INNER_FOLDS, shuffle=True, random_state=job.seed)
        model = GridSearchCV(Ridge(), {"alpha": RIDGE_PENALTIES}, scoring="r2", cv=folds)
    else:
        folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=job.seed)
        grid = {"C": INVERSE_PENALTIES}
        model = GridSearchCV(LogisticRegression(max_iter=5000), grid, scoring=SCORING[job.task], cv=folds)
    return _fitted(job, make_pipeline(encoding(job.categories, job.numbers), model))


def random_forest(job: Job) -> Predict:
    """scikit-learn's forest, on one-hot levels."""
    kind = RandomForestRegressor if job.task == "regression" else RandomForestClassifier
    return _fitted(
        job, make_pipeline(encoding(job.categories, job.numbers), kind(n_jobs=n_threads(), random_state=job.seed))
    )


def sklearn_mlp(job: Job) -> Predict:
    """scikit-learn's perceptron; a target of dollars is standardised, without which it learns nothing."""
    if job.task == "regression":
        model = TransformedTargetRegressor(MLPRegressor(random_state=job.seed), transformer=StandardScaler())
    else:
        model = MLPClassifier(random_state=job.seed)
    return _fitted(job, make_pipeline(encoding(job.categories, job.numbers), model))


def lightgbm(job: Job) -> Predict:
    """LightGBM with pandas categories."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if job.task == "regression" else LGBMClassifier
    return _trees(job, kind(n_jobs=n_threads(), random_state=job.seed, verbose=-1))


def xgboost(job: Job) -> Predict:
    """XGBoost with pandas categories; its classes are numbered."""
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBRegressor if job.task == "regression" else XGBClassifier
    return _trees(job, kind(n_jobs=n_threads(), random_state=job.seed, enable_categorical=True), numbered=True)


def hist_gradient_boosting(job: Job) -> Predict:
    """scikit-learn's boosted trees with pandas categories; a column of too many levels keeps the commonest."""
    kind = HistGradientBoostingRegressor if job.task == "regression" else HistGradientBoostingClassifier
    counts = {name: job.train[name].value_counts() for name in job.categories}
    rarer = {name: each.index[MOST_LEVELS:] for name, each in counts.items() if len(each) > MOST_LEVELS}

    def without_rarer(rows: pd.DataFrame) -> pd.DataFrame:
        rows = job.with_levels(rows)
        return rows.assign(**{name: rows[name].cat.remove_categories(levels) for name, levels in rarer.items()})

    model = kind(random_state=job.seed).fit(without_rarer(job.train), job.truth)
    if job.task == "regression":
        return lambda rows: model.predict(without_rarer(rows))
    return lambda rows: job.probabilities(model.predict_proba(without_rarer(rows)), model.classes_)


def catboost(job: Job) -> Predict:
    """CatBoost with its own encoding of categories, which takes levels that train does not have."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostRegressor if job.task == "regression" else CatBoostClassifier
    model = kind(
        random_seed=job.seed,
        verbose=False,
        allow_writing_files=False,
        cat_features=job.categories,
        thread_count=n_threads(),
    )

    def filled(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows[job.features].copy()
        rows[job.categories] = rows[job.categories].fillna("missing")
        return rows

    model.fit(filled(job.train), job.truth)
    if job.task == "regression":
        return lambda rows: model.predict(filled(rows))
    return lambda rows: job.probabilities(model.predict_proba(filled(rows)), model.classes_)


def _trees(job: Job, model: object, numbered: bool = False) -> Predict:
    classes = np.array(sorted(job.truth.unique()))
    truth = np.searchsorted(classes, job.truth) if numbered and job.labels else job.truth
    model.fit(job.with_levels(job.train), truth)
    if job.task == "regression":
        return lambda rows: model.predict(job.with_levels(rows))
    classes = classes if numbered else model.classes_
    return lambda rows: job.probabilities(model.predict_proba(job.with_levels(rows)), classes)


def _fitted(job: Job, model: object) -> Predict:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # the perceptron's default of 200 epochs
        warnings.filterwarnings("ignore", message="The least populated class")
        model.fit(job.train[job.features], job.truth)
    if job.task == "regression":
        return model.predict
    return lambda rows: job.probabilities(model.predict_proba(rows), model.classes_)


NEAR = {
    "linear": linear,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
    "XGBoost": xgboost,
    "HistGradientBoosting": hist_gradient_boosting,
    "random forest": random_forest,
    "scikit-learn MLP": sklearn_mlp,
}
