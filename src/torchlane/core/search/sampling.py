"""What a search tries next: Optuna's samplers, seeded by the number of the trial."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from torchlane.core.options import TuningOptions
from torchlane.core.search.space import Space, distributions_of, grid_size, grid_values

optuna.logging.set_verbosity(optuna.logging.WARNING)


def ask(
    study: Study, space: Space, options: TuningOptions, given: Mapping[str, Any], salt: Sequence[int], n_trials: int
) -> list[FrozenTrial]:
    """Draw the next trials, given the finished and running trials of a study. The study is not changed.

    One trial takes the `given` parameters: the first one; beside a grid without them, the last one. Options whose
    given value is outside the space are not among them. Asking again gives the same trials, since the seed of a trial
    depends only on `options.seed`, its number and `salt`, which differs between machines that share a study.
    """
    distributions = distributions_of(space)
    as_given = optuna.create_trial(
        state=TrialState.RUNNING, params=dict(given), distributions={name: distributions[name] for name in given}
    )
    known = study.get_trials(deepcopy=False)
    is_grid = options.sampler == "grid"
    first = [as_given] if not known and n_trials and not is_grid else []
    last = [as_given] if is_grid and len(known) + n_trials > grid_size(space, options.grid_points) else []
    whole = [trial if trial.params.keys() == distributions.keys() else _ignored(trial) for trial in [*known, *first]]
    n_ignored = sum(trial.params.keys() != distributions.keys() for trial in known)
    mirror = optuna.create_study(
        direction=study.direction, sampler=_make_sampler(space, options, salt, round_size(options) - n_ignored)
    )
    mirror.add_trials(whole)
    n_drawn = n_trials - len(first) - len(last)
    return [*first, *(mirror.ask(distributions)._get_latest_trial() for _ in range(n_drawn)), *last]


def _ignored(trial: FrozenTrial) -> FrozenTrial:
    """Replace a trial that is partly outside the space by a failed one with its number, which samplers ignore.

    With the trial itself, Optuna's TPE would draw each option that it lacks independently of the others.
    """
    return optuna.create_trial(state=TrialState.FAIL, params=trial.params, distributions=trial.distributions)


def _make_sampler(space: Space, options: TuningOptions, salt: Sequence[int], n_startup_trials: int) -> BaseSampler:
    if options.sampler == "grid":
        return GridSampler(grid_values(space, options.grid_points), seed=options.seed)

    def make(number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([options.seed, number, *salt]).generate_state(1)[0])
        if options.sampler == "random":
            return RandomSampler(seed)
        return TPESampler(seed=seed, n_startup_trials=n_startup_trials)

    return _ByNumber(make)


def round_size(options: TuningOptions) -> int:
    """Return how many trials are drawn at once, at most."""
    return options.round_trials or (8 if options.sampler == "tpe" else sys.maxsize)


class _ByNumber(BaseSampler):
    """Uses a new sampler for each trial, made from its number."""

    def __init__(self, make: Callable[[int], BaseSampler]):
        self._make = make
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
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)
