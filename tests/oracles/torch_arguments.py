"""What the optimizers and schedulers of torch take, and values to try."""

import inspect
from typing import Any

from hypothesis import strategies as st
from torch.optim import lr_scheduler

SMALL, FLAG = st.floats(1e-10, 1e-2), st.booleans()
DECAY = st.one_of(st.just(0.0), st.floats(1e-5, 0.5))
BETAS = st.tuples(st.floats(0.0, 0.99), st.floats(0.1, 0.9999))
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "maximize": FLAG,
    "foreach": st.sampled_from([None, True, False]),
    "differentiable": st.just(False),  # True is for those who derive through a step
    "capturable": st.just(False),  # True is for a GPU
}
OPTIMIZERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {  # every argument beside the rate
    "Adadelta": {**COMMON, "rho": st.floats(0, 0.99), "eps": SMALL, "weight_decay": DECAY},
    "Adafactor": {
        "beta2_decay": st.floats(-0.9, -0.1), "eps": st.tuples(st.none(), SMALL), "d": st.floats(1, 3),
        "weight_decay": DECAY, "foreach": COMMON["foreach"], "maximize": FLAG,
    },
    "Adagrad": {
        "lr_decay": st.floats(0, 0.5), "weight_decay": DECAY, "initial_accumulator_value": st.floats(0, 1),
        "eps": SMALL, "foreach": COMMON["foreach"], "maximize": FLAG, "differentiable": st.just(False), "fused": FLAG,
    },
    "Adam": {
        **COMMON, "betas": BETAS, "eps": SMALL, "weight_decay": DECAY, "amsgrad": FLAG, "fused": FLAG,
        "decoupled_weight_decay": FLAG,
    },
    "AdamW": {**COMMON, "betas": BETAS, "eps": SMALL, "weight_decay": DECAY, "amsgrad": FLAG, "fused": FLAG},
    "Adamax": {**COMMON, "betas": BETAS, "eps": SMALL, "weight_decay": DECAY},
    "ASGD": {
        **COMMON, "lambd": SMALL, "alpha": st.floats(0.1, 1), "t0": st.sampled_from([1.0, 1e6]), "weight_decay": DECAY
    },
    "NAdam": {
        **COMMON, "betas": BETAS, "eps": SMALL, "weight_decay": DECAY, "momentum_decay": st.floats(1e-4, 0.1),
        "decoupled_weight_decay": FLAG,
    },
    "RAdam": {**COMMON, "betas": BETAS, "eps": SMALL, "weight_decay": DECAY, "decoupled_weight_decay": FLAG},
    "RMSprop": {
        **COMMON, "alpha": st.floats(0.1, 0.99), "eps": SMALL, "weight_decay": DECAY, "momentum": DECAY,
        "centered": FLAG,
    },
    "Rprop": {
        **COMMON, "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 2)),
        "step_sizes": st.tuples(st.floats(1e-6, 1e-3), st.floats(0.1, 50)),
    },
    "SGD": {
        "momentum": st.one_of(st.just(0.0), st.floats(0.1, 0.99)), "dampening": st.floats(0, 0.9),
        "weight_decay": DECAY, "nesterov": FLAG, "maximize": FLAG, "foreach": COMMON["foreach"],
        "differentiable": st.just(False), "fused": FLAG,
    },
}  # fmt: skip
RATE, FACTOR, EPOCH, START = st.floats(1e-3, 0.5), st.floats(0.1, 0.9), st.integers(1, 4), st.just(-1)
SCHEDULERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "ConstantLR": {"factor": FACTOR, "total_iters": EPOCH, "last_epoch": START},
    "CosineAnnealingLR": {"T_max": EPOCH, "eta_min": SMALL, "last_epoch": START},
    "CosineAnnealingWarmRestarts": {
        "T_0": EPOCH, "T_mult": st.integers(1, 2), "eta_min": SMALL, "last_epoch": START
    },
    "CyclicLR": {
        "base_lr": SMALL, "max_lr": RATE, "step_size_up": EPOCH, "step_size_down": st.one_of(st.none(), EPOCH),
        "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]), "gamma": FACTOR,
        "scale_fn": st.none(), "scale_mode": st.sampled_from(["cycle", "iterations"]), "cycle_momentum": FLAG,
        "base_momentum": FACTOR, "max_momentum": st.floats(0.9, 0.99), "last_epoch": START,
    },
    "ExponentialLR": {"gamma": FACTOR, "last_epoch": START},
    "LinearLR": {
        "start_factor": FACTOR, "end_factor": FACTOR, "total_iters": EPOCH, "last_epoch": START
    },
    "MultiStepLR": {"milestones": st.lists(EPOCH, min_size=1).map(sorted), "gamma": FACTOR, "last_epoch": START},
    "OneCycleLR": {
        "max_lr": RATE, "total_steps": st.integers(20, 30), "epochs": st.integers(5, 9),
        "steps_per_epoch": st.integers(5, 9), "pct_start": FACTOR, "anneal_strategy": st.sampled_from(["cos", "linear"]),
        "cycle_momentum": FLAG, "base_momentum": FACTOR, "max_momentum": st.floats(0.9, 0.99),
        "div_factor": st.floats(1, 30), "final_div_factor": st.floats(1, 100), "three_phase": FLAG, "last_epoch": START,
    },
    "PolynomialLR": {"total_iters": EPOCH, "power": st.floats(0.5, 2), "last_epoch": START},
    "ReduceLROnPlateau": {
        "mode": st.sampled_from(["min", "max"]), "factor": FACTOR, "patience": st.integers(0, 2),
        "threshold": st.floats(0, 0.5), "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 2), "min_lr": SMALL, "eps": SMALL,
    },
    "StepLR": {"step_size": EPOCH, "gamma": FACTOR, "last_epoch": START},
}  # fmt: skip
NEEDED = {
    name: {each.name for each in inspect.signature(getattr(lr_scheduler, name)).parameters.values()
           if each.default is inspect.Parameter.empty} & set(arguments)
    for name, arguments in SCHEDULERS.items()
}  # fmt: skip
