"""Where a search looks next: Optuna's samplers, with draws that depend on a trial's number alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from torchlane.core.options import TuningOptions
from torchlane.core.space import Space, distributions_of, grid_values

optuna.logging.set_verbosity(optuna.logging.WARNING)


def ask(
    study: Study, space: Space, options: TuningOptions, given: Mapping[str, Any], salt: Sequence[int], n_trials: int
) -> list[FrozenTrial]:
    """Draw the next trials of a study from its finished and running ones, without writing to it.

    The first trial of all takes what is `given`, as Optuna would hold it, where the space has it. A study
    asked anew gives the same trials: each has a seed made of `options.seed`, its number and `salt`, in which
    machines differ that share a study.
    """
    mirror = optuna.create_study(direction=study.direction, sampler=_make_sampler(space, options, given, salt))
    mirror.add_trials(study.get_trials(deepcopy=False))
    distributions = distributions_of(space)
    return [mirror.ask(distributions)._get_latest_trial() for _ in range(n_trials)]


def _make_sampler(space: Space, options: TuningOptions, given: Mapping[str, Any], salt: Sequence[int]) -> BaseSampler:
    if options.sampler == "grid":
        return GridSampler(grid_values(space, options.grid_points), seed=options.seed)

    def make(number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([options.seed, number, *salt]).generate_state(1)[0])
        if options.sampler == "random":
            return RandomSampler(seed)
        return TPESampler(seed=seed, n_startup_trials=round_size(options))

    return _ByNumber(make, given)


def round_size(options: TuningOptions) -> int:
    """Say how many trials are asked for at once."""
    return options.round_trials or (8 if options.sampler == "tpe" else max(options.trials, 1))


class _ByNumber(BaseSampler):
    """A new sampler for each trial, made from its number; the first trial takes what is given."""

    def __init__(self, make: Callable[[int], BaseSampler], given: Mapping[str, Any]):
        self._make = make
        self._given = given
        self._sampler = make(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler = self._make(trial.number)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        value = self._given.get(param_name)
        if trial.number == 0 and value is not None and _holds(param_distribution, value):
            return value
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):
        return False
