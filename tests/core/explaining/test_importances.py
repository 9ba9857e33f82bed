from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.inspection import permutation_importance

from tests.core.explaining.models import COLUMNS, Case, case, data_of, raw_rows
from tests.core.fitted import plain_model
from torchlane.core.explaining.importances import (
    MOST_WORK,
    SEED,
    Effort,
    bounded_effort,
    permutation_importances,
    undefined_reason,
)
from torchlane.core.explaining.judged_rows import JudgedRows, generator_of, judged_rows
from torchlane.core.explaining.varied_model import places_of, work_of_row


def oracle(each: Case, rows: JudgedRows, features: torch.Tensor) -> float:
    """The primary metric by scikit-learn."""
    table = each.model.describe_predictions(features)
    if each.data.task == "regression":
        return metrics.r2_score(rows.truth, table["prediction"], sample_weight=rows.weights)
    labels = each.model.encoder.target.labels
    if each.data.task == "binary":
        return metrics.roc_auc_score(rows.truth, table[f"probability_{labels[1]}"], sample_weight=rows.weights)
    truth = np.array(labels)[rows.truth]
    return metrics.accuracy_score(truth, table["prediction"], sample_weight=rows.weights)


@pytest.mark.parametrize("weight", [None, "weight"])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_importance_is_the_drop_of_the_metric_by_scikit_learn_under_the_same_permutations(task, weight):
    each = case(task, weight=weight)
    rows = each.judged
    found = permutation_importances(each.model, rows, 4, each.names).set_index("feature")
    whole = oracle(each, rows, rows.features)
    for name, place in places_of(each.model.encoder).items():
        random, drops = generator_of(name, SEED), []
        for _ in range(4):
            changed = rows.features.clone()
            changed[:, place] = changed[random.permutation(len(rows)), place]
            drops.append(whole - oracle(each, rows, changed))
        assert found.loc[name, "importance"] == pytest.approx(np.mean(drops), abs=1e-6)
        assert found.loc[name, "over_repeats"] == pytest.approx(np.std(drops), abs=1e-6)
        assert found.loc[name, "score"] == pytest.approx(whole, abs=1e-6)
    assert found["importance"].is_monotonic_decreasing
    assert (found["importance"] != 0).all()
    assert set(found["metric"]) == {each.model.task.primary_metric} and set(found["part"]) == {"test"}


class Estimator:
    """A model as scikit-learn takes them, for encoded rows without missing values."""

    def __init__(self, each: Case):
        self.each = each

    def fit(self, features, truth):
        return self

    def predict(self, features):
        return self.each.model.describe_predictions(torch.from_numpy(features))["prediction"].to_numpy()

    def score(self, features, truth):
        return metrics.r2_score(truth, self.predict(features))


def test_importances_agree_in_the_mean_with_permutation_importance_of_scikit_learn():
    rows = raw_rows().replace({"": np.nan}).dropna()
    each = Case(rows, data_of(columns={name: COLUMNS[name] for name in ("size", "place")}), plain_model(widths=(8,)), 2)
    judged = each.judged
    reference = permutation_importance(
        Estimator(each), judged.features.numpy(), judged.truth.numpy(), n_repeats=100, random_state=0
    )
    found = permutation_importances(each.model, judged, 1000, each.names).set_index("feature").loc[each.names]
    error = reference["importances_std"] / 10 + found["over_repeats"] / 1000**0.5
    assert (abs(found["importance"] - reference["importances_mean"]) < 4 * error).all()
    np.testing.assert_allclose(found["over_repeats"], reference["importances_std"], rtol=0.3)


def test_spread_over_members_is_that_of_their_own_drops():
    each = case(members=4)
    found = permutation_importances(each.model, each.judged, 1, each.names).set_index("feature")
    weights = each.model.weights
    alone = [replace(each.model, weights={name: w[[i]] for name, w in weights.items()}) for i in range(4)]
    drops = [permutation_importances(one, each.judged, 1, each.names).set_index("feature") for one in alone]
    for name in each.names:
        own = [drop.loc[name, "importance"] for drop in drops]
        assert found.loc[name, "over_members"] == pytest.approx(np.std(own), abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), task=st.sampled_from(["regression", "binary"]))
def test_order_of_rows_leaves_importances_as_they_are(seed, task):
    each = case(task, n_rows=30, weight="weight")
    order = np.random.default_rng(seed).permutation(len(each.clean))
    shuffled = each.clean.iloc[order].reset_index(drop=True).assign(row=each.clean["row"])
    features, targets, weights = (tensor[torch.from_numpy(order)] for tensor in each.tensors.tensors)
    tensors = torch.utils.data.TensorDataset(features, targets, weights)
    rows = judged_rows("test", each.model, tensors, shuffled, each.splits)
    found = permutation_importances(each.model, rows, 2, each.names)
    pd.testing.assert_frame_equal(found, permutation_importances(each.model, each.judged, 2, each.names))
    assert torch.equal(rows.some(7, 0).features, each.judged.some(7, 0).features)


@pytest.mark.parametrize("categories", ["one_hot", "ordinal"])
def test_order_of_features_leaves_importances_as_they_are(categories):
    plain = {"numbers": "plain"}  # one weight for each feature
    each = case(encoding={"categories": categories}, network=plain)
    columns = {name: COLUMNS[name] for name in reversed(COLUMNS)}
    other = case(encoding={"categories": categories}, columns=columns, network=plain)
    before, after = (one.model.encoder.feature_names for one in (each, other))
    assert before != after
    first = next(iter(other.model.weights))
    reordered = each.model.weights[first][:, :, [before.index(name) for name in after]]
    other.model = replace(other.model, weights={**each.model.weights, first: reordered})
    found = permutation_importances(other.model, other.judged, 3, other.names)
    expected = permutation_importances(each.model, each.judged, 3, each.names)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_feature_that_the_network_ignores_has_importance_0(task):
    each = case(task, network={"numbers": "plain"})
    ignored = [name.startswith("place") for name in each.model.encoder.feature_names]
    first = next(iter(each.model.weights))
    each.model.weights[first][:, :, ignored] = 0
    found = permutation_importances(each.model, each.judged, 3, each.names).set_index("feature")
    assert found.loc["place", ["importance", "over_repeats", "over_members"]].tolist() == [0, 0, 0]
    assert (found.drop("place")["importance"] != 0).any()


def test_constant_feature_has_importance_0():
    rows = raw_rows().assign(size="3")
    each = Case(rows, data_of(), plain_model(widths=(8,)), 2)
    found = permutation_importances(each.model, each.judged, 3, each.names).set_index("feature")
    assert found.loc["size", "importance"] == 0


def test_few_and_many_permutations_begin_alike():
    each = case()
    one, many = (permutation_importances(each.model, each.judged, n, ["size"]) for n in (1, 40))
    assert one["over_members"].tolist() == pytest.approx(many["over_members"].tolist(), abs=1e-6)
    assert one["over_repeats"].tolist() == [0]


def test_metric_without_a_value_has_a_reason():
    constant = Case(raw_rows().assign(price="5"), data_of(), plain_model(widths=(8,)), 2, target="none")
    assert undefined_reason(constant.judged, constant.model) == (
        "r2_score is not defined on test, whose 60 rows have one value of the target"
    )
    each = case("binary")
    cheap = each.judged.take(np.flatnonzero(each.judged.truth == 0))
    assert undefined_reason(cheap, each.model) == (
        f"roc_auc_score is not defined on test, whose {len(cheap)} rows have one label of the target"
    )
    assert undefined_reason(each.judged, each.model) is None
    broken = replace(each.model, weights={name: w * np.nan for name, w in each.model.weights.items()})
    assert undefined_reason(each.judged, broken) == "roc_auc_score is not defined on test: predictions are not finite"


@settings(deadline=None)
@given(n_rows=st.integers(1, 10_000), repeats=st.integers(1, 50), n_features=st.integers(1, 100_000))
def test_effort_is_bounded_and_keeps_rows_before_features(n_rows, repeats, n_features):
    model = FOUND.model
    effort = bounded_effort(n_rows, repeats, n_features, model)
    assert effort.rows * effort.repeats * effort.features * work_of_row(model) <= MOST_WORK
    assert 1 <= effort.rows <= n_rows and 1 <= effort.repeats <= repeats and 1 <= effort.features <= n_features
    if effort.repeats > 1:
        assert (effort.rows, effort.features) == (n_rows, n_features)
    if effort.features < n_features:
        assert effort.rows <= 200


FOUND = case(members=16, network={"widths": (64, 64)})


def test_task_of_usual_size_is_measured_in_full_and_a_larger_one_less_often():
    assert bounded_effort(5_000, 5, 100, FOUND.model) == Effort(5_000, 5, 100)
    assert bounded_effort(91, 5, 1000, FOUND.model) == Effort(91, 5, 1000)
    assert bounded_effort(10_000, 5, 100, FOUND.model) == Effort(10_000, 3, 100)
