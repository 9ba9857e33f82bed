"""Perceptrons that share their weights, against the package of the authors of TabM."""

import numpy as np
import pytest
import torch
from tabm import TabM
from torch import nn

from tests.core.fitted import plain_model
from tests.oracles.agreement import compare
from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.networks.perceptron import build_perceptron
from torchlane.core.stacks.shared import SharedPerceptrons, draw_scales

NUMBERS, LEVELS, WIDTHS, OUTPUTS, BRANCHES = 3, (4, 2), (8, 8), 3, 5


def make_shared(kind, levels):
    columns = [*range(NUMBERS), *(NUMBERS + place for place, n in enumerate(levels) for _ in range(n))]
    codes = [NUMBER] * NUMBERS + [code for n in levels for code in range(n)]
    n_codes = {NUMBERS + place: n for place, n in enumerate(levels)}
    layout = Layout(NUMBERS + len(levels), np.array(columns), np.array(codes), n_codes) if levels else None
    options = plain_model(widths=WIDTHS, activation="SiLU")
    torch.manual_seed(0)
    models = [build_perceptron(options, [NUMBERS + len(levels)], OUTPUTS, layout) for _ in range(BRANCHES)]
    shared = SharedPerceptrons(models, torch.stack([draw_scales(each) for each in models]), kind)
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return shared


def make_oracle(shared, kind, levels):
    oracle = TabM(
        n_num_features=NUMBERS,
        cat_cardinalities=list(levels),
        d_out=OUTPUTS,
        n_blocks=len(WIDTHS),
        d_block=WIDTHS[0],
        dropout=0.0,
        activation="SiLU",
        k=BRANCHES,
        arch_type=kind.replace("_", "-"),
        start_scaling_init="random-signs",
    )
    with torch.no_grad():
        for name, parameter in oracle.named_parameters():
            parameter.copy_(theirs(shared, name).detach())
    return oracle


def theirs(shared, name):
    """Find what a parameter of the package is in our module: the parameter, or its gradient if it has one."""
    hidden = [layer for layer in shared.layers if hasattr(layer, "r")]
    layer, _, own = name.rpartition(".")
    if layer == "output":
        found = getattr(shared.layers[-1], own)
        return found.transpose(1, 2) if own == "weight" else found
    if layer == "backbone.affine":
        return hidden[0].r
    found = getattr(hidden[int(layer.split(".")[2])], own)
    return found[0] if own == "bias" and len(found) == 1 else found


@pytest.mark.parametrize("n_rows", [5, 40])  # few rows are scaled by each branch, for many the matrix is
@pytest.mark.parametrize("levels", [LEVELS, ()])
@pytest.mark.parametrize("kind", ["tabm", "tabm_mini"])
def test_same_weights_give_the_outputs_and_gradients_of_tabm(kind, levels, n_rows):
    shared = make_shared(kind, levels)
    oracle = make_oracle(shared, kind, levels)
    numbers = torch.randn(n_rows, NUMBERS)
    codes = [torch.randint(n, (n_rows,)) for n in levels]
    rows = torch.cat([numbers, *(each[:, None].float() for each in codes)], dim=1)
    outputs = shared(rows)
    expected = oracle(numbers, torch.stack(codes, dim=1) if codes else None).transpose(0, 1)
    compare("tabm: outputs", outputs.detach(), expected.detach(), relative=1e-4, absolute=1e-6)
    direction = torch.randn_like(outputs)
    outputs.backward(direction)
    expected.backward(direction)
    for parameter in shared.parameters():
        parameter.data = parameter.grad
    for name, parameter in oracle.named_parameters():
        compare("tabm: gradients", theirs(shared, name).detach(), parameter.grad, relative=1e-4, absolute=1e-5)


def test_scales_are_drawn_as_in_tabm_one_sign_for_each_column():
    torch.manual_seed(3)
    oracle = TabM(
        n_num_features=NUMBERS,
        cat_cardinalities=list(LEVELS),
        d_out=1,
        n_blocks=1,
        d_block=2,
        dropout=0.0,
        k=400,
        start_scaling_init="random-signs",
    )
    layout = Layout(5, np.array([0, 1, 2, 3, 3, 3, 3, 4, 4]), np.array([NUMBER] * 3 + [0, 1, 2, 3, 0, 1]), {3: 4, 4: 2})
    model = build_perceptron(plain_model(widths=(2,)), [5], 1, layout)
    ours = torch.stack([draw_scales(model) for _ in range(400)])
    for r in (ours, oracle.backbone.blocks[0][0].r.detach()):
        assert set(r.unique().tolist()) == {-1.0, 1.0}
        assert torch.equal(r[:, 3:4].expand(-1, 4), r[:, 3:7]) and torch.equal(r[:, 7], r[:, 8])
        assert r[:, [0, 1, 2, 3, 7]].T.corrcoef().fill_diagonal_(0).abs().max() < 0.25
        assert r.mean(0).abs().max() < 0.25


def test_other_scales_start_at_one_and_hidden_layers_with_one_bias_for_all_as_in_tabm():
    models = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(3)]
    shared = SharedPerceptrons(models, torch.ones(3, 3), "tabm")
    first, _, heads = shared.layers
    assert torch.equal(first.s, torch.ones(3, 4))
    assert torch.equal(first.weight, models[0][0].weight)
    assert torch.equal(first.bias, models[0][0].bias.expand(3, 4))
    assert torch.equal(heads.weight, torch.stack([model[2].weight for model in models]))
