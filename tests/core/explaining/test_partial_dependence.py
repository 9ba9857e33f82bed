from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.inspection import partial_dependence as reference

from tests.core.explaining.models import COLUMNS, Case, case, data_of, raw_rows
from tests.core.fitted import plain_model
from torchlane.core.explaining.partial_dependence import COLUMNS as TABLE
from torchlane.core.explaining.partial_dependence import MOST_VALUES, partial_dependence


class Regressor:
    """A model as scikit-learn takes them, for raw rows."""

    _estimator_type = "regressor"

    def __init__(self, each: Case):
        self.each, self.fitted_ = each, True

    def __sklearn_tags__(self):
        from sklearn.utils import RegressorTags, Tags, TargetTags

        return Tags("regressor", TargetTags(required=True), regressor_tags=RegressorTags())

    def fit(self, rows, truth):
        return self

    def predict(self, rows):
        return self.each.model.predict(rows.astype({"size": float}))["prediction"].to_numpy()


@pytest.mark.parametrize("weight", [None, "weight"])
def test_average_is_that_of_scikit_learn(weight):
    each = case(n_rows=80, weight=weight)
    found = partial_dependence(each.model, each.judged, each.clean, ["size", "place"])
    rows = each.raw[each.names].replace({"": None})
    for name, own in found.groupby("feature"):
        values = own["value"].astype(float) if name == "size" else own["value"]
        expected = reference(
            Regressor(each),
            rows if name != "size" else rows.assign(size=rows["size"].astype(float)),
            [name],
            custom_values={name: values.to_numpy(dtype=None if name == "size" else object)},
            categorical_features=["place", "built"],
            method="brute",
            sample_weight=None if weight is None else each.raw["weight"].astype(float).to_numpy(),
        )
        np.testing.assert_allclose(own["prediction"], expected["average"][0], rtol=1e-5, atol=1e-4)
    assert found.columns.tolist() == list(TABLE)
    assert found.groupby("feature", sort=False).ngroups == 2 and found["feature"].iloc[0] == "size"


def test_ends_are_the_least_and_the_largest_average_of_a_member():
    each = case(members=3)
    found = partial_dependence(each.model, each.judged, each.clean, ["place"])
    changed = each.clean.assign(place=found["value"].iloc[0])
    of_members = each.model.member_predictions(torch.from_numpy(each.model.encoder.encode_features(changed))).mean(1)
    assert found["low"].iloc[0] == pytest.approx(of_members.min().item())
    assert found["high"].iloc[0] == pytest.approx(of_members.max().item())
    assert (found["low"] < found["prediction"]).all() and (found["prediction"] < found["high"]).all()


def test_numbers_and_dates_take_quantiles_of_train_or_all_their_values():
    each = case(n_rows=200)
    found = partial_dependence(each.model, each.judged, each.clean, ["built", "size"])
    sizes = found.loc[found["feature"] == "size", "value"].astype(float)
    known = each.clean["size"].dropna()
    assert len(sizes) <= MOST_VALUES and sizes.is_monotonic_increasing and set(sizes) <= set(known)
    assert sizes.iloc[0] == np.quantile(known, 0.05, method="inverted_cdf")
    days = found.loc[found["feature"] == "built", "value"]
    assert set(pd.to_datetime(days)) <= set(each.clean["built"].dropna())
    few = each.clean.assign(size=[1.0, 2.0, np.nan, 7.5] * 50)
    own = partial_dependence(each.model, each.judged, few, ["size"])
    assert own["value"].tolist() == ["1", "2", "7.5"]


def test_commonest_levels_are_shown_in_their_order():
    rows = raw_rows(120).assign(place=[f"{number % 24:02}" for number in range(117)] + ["23"] * 3)
    each = Case(rows, data_of(), plain_model(widths=(8,)), 2)
    found = partial_dependence(each.model, each.judged, each.clean, ["place"])
    levels = found["value"].tolist()
    assert len(levels) == MOST_VALUES and levels == sorted(levels) and "23" in levels


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_labels_stand_with_their_probabilities(task):
    each = case(task)
    model = replace(each.model, calibration=each.model.calibration.model_copy(update={"temperature": 2.0}))
    found = partial_dependence(model, each.judged, each.clean, ["place"])
    positive = model.encoder.target.positive
    assert found["label"].unique().tolist() == ([positive] if task == "binary" else ["a", "b", "c"])
    changed = each.clean.assign(place=found["value"].iloc[0])
    predicted = model.predict(changed[each.names])
    features = torch.from_numpy(model.encoder.encode_features(changed))
    of_members = model.predictions_of(model.outputs(features))
    alone = torch.stack([model.join_members(member) for member in of_members.split(1)]).mean(1)
    names = [f"{label}" for label in model.encoder.target.restore(model.encoder.target.labels)]
    for label, own in found.groupby("label"):
        assert own["prediction"].iloc[0] == pytest.approx(predicted[f"probability_{label}"].mean())
        ends = [*alone[:, names.index(label)].tolist(), own["prediction"].iloc[0]]
        assert (own["low"].iloc[0], own["high"].iloc[0]) == pytest.approx((min(ends), max(ends)))
    assert ((found["low"] <= found["prediction"]) & (found["prediction"] <= found["high"])).all()


def test_five_commonest_labels_of_many_are_shown():
    labels = [*"aabbccddee", *"fghij"] * 8
    rows = raw_rows(120).assign(**{"class": labels})
    columns = {"size": COLUMNS["size"]}
    each = Case(rows, data_of("multiclass", columns), plain_model(widths=(8,)), 2)
    found = partial_dependence(each.model, each.judged, each.clean, ["size"])
    assert found["label"].unique().tolist() == list("abcde")
