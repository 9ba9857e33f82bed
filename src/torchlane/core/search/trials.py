"""The trials of a search, as its study keeps them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torchlane.core.search.fingerprints import fingerprint
from torchlane.core.search.given import given_params, given_values
from torchlane.core.search.ground import Ground
from torchlane.core.search.records import RECORD, Record, record_of
from torchlane.core.search.space import Space, n_trials, read_values

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DECIDED = "decided"  # the user attribute of a study that holds what was chosen, and why
STATES = ("COMPLETE", "PRUNED", "FAIL")  # of trials that have ended, best first


class Trials:
    """The trials of a study: asked for in rounds, and told what each of them reached.

    `worker` names this machine where several share the study. Each machine trains the rounds it asked for.
    """

    def __init__(self, study: "Study", worker: str, ground: Ground, space: Space):
        self._study = study
        self._worker = worker
        self._options = ground.options
        self._space = space
        self._given = given_values(ground.recipe, space, ground.data)
        self._given_params = given_params(ground.recipe, space, ground.data)
        self.wanted = n_trials(space, self._options, self._given_params)

    def all(self) -> "list[FrozenTrial]":
        """List the trials of all machines by number."""
        return self._study.get_trials(deepcopy=False)

    def open_round(self) -> list[int]:
        """Return the trials of this machine's round that an interruption cut off, or none.

        Trials that the round still lacks are asked for first.
        """
        mine = [trial for trial in self.all() if trial.user_attrs.get("worker") == self._worker]
        unfinished = next((trial.user_attrs for trial in mine if not trial.state.is_finished()), None)
        if unfinished is None:
            return []
        return self._fill(unfinished["round"], unfinished["round_trials"])

    def ask(self) -> list[int]:
        """Ask for the next round, until there are as many as are wanted. It is stored before anything is trained."""
        from torchlane.core.search.sampling import round_size

        known = len(self.all())
        n_new = min(self.wanted - known, round_size(self._options))
        return self._fill(f"{self._worker} {known}", n_new) if n_new > 0 else []

    def note(self, said: str) -> None:
        """Keep what the search decided with the study."""
        self._study.set_user_attr(DECIDED, said)

    def tell(self, trial: "FrozenTrial", record: Record) -> None:
        """Store what a trial reached, unless a run that was cut off has done so already."""
        from optuna.trial import TrialState

        if trial.state.is_finished():
            return
        storage = self._study._storage
        storage.set_trial_user_attr(trial._trial_id, RECORD, record)
        if record["error"]:
            self._study.tell(trial.number, state=TrialState.FAIL)
        elif record["pruned"]:
            storage.set_trial_intermediate_value(trial._trial_id, record["epochs"], record["value"])
            self._study.tell(trial.number, state=TrialState.PRUNED)
        else:
            self._study.tell(trial.number, record["value"])

    def ranked(self) -> "list[FrozenTrial]":
        """List the trials, best first: those trained to the end, those given up, those that failed, the rest.

        Among equal trials the options as given come first.
        """
        given = self.as_given()

        def rank(trial: "FrozenTrial") -> tuple[int, float, bool, int]:
            value = record_of(trial).get("value")
            state = STATES.index(trial.state.name) if trial.state.name in STATES else len(STATES)
            return state, math.inf if value is None else -value, trial is not given, trial.number

        return sorted(self.all(), key=rank)

    def as_given(self) -> "FrozenTrial | None":
        """Return the trial that takes the options as given: the first one, or one of a grid or beside it."""
        return next((trial for trial in self.all() if trial.params == self._given_params), None)

    def values(self, trial: "FrozenTrial") -> dict[str, Any]:
        """Return what a trial tries, by option; an option that it does not set keeps its given value."""
        drawn = read_values(trial.params, self._space)
        return dict(sorted(({**self._given, **drawn} if len(drawn) < len(self._space) else drawn).items()))

    def trained_values(self) -> list[dict[str, Any]]:
        """Return what trials tried that were trained to the end or until they were given up, the best first."""
        trained = [trial for trial in self.ranked() if trial.state.name in ("COMPLETE", "PRUNED")]
        return [self.values(trial) for trial in trained]

    def failures(self) -> str:
        """Say why trials failed. Trials with the same reason are named together."""
        numbers: dict[str, list[int]] = {}
        for trial in self.all():
            reason = record_of(trial).get("error") or trial.state.name.lower()
            numbers.setdefault(reason, []).append(trial.number)
        return "; ".join(f"{name_trials(each)}: {reason}" for reason, each in numbers.items())

    def _fill(self, asked: str, n_trials: int) -> list[int]:
        """Ask until the round named `asked` has `n_trials`, and return their numbers."""
        import optuna

        from torchlane.core.search.sampling import ask

        n_new = n_trials - sum(trial.user_attrs.get("round") == asked for trial in self.all())
        salt = [int(fingerprint(self._worker)[:8], 16)] if self._worker else []
        for drawn in ask(self._study, self._space, self._options, self._given_params, salt, n_new):
            self._study.add_trial(
                optuna.create_trial(
                    state=optuna.trial.TrialState.RUNNING,
                    params=drawn.params,
                    distributions=drawn.distributions,
                    user_attrs={"worker": self._worker, "round": asked, "round_trials": n_trials},
                )
            )
        return [trial.number for trial in self.all() if trial.user_attrs.get("round") == asked]


def name_trials(numbers: Sequence[int]) -> str:
    """Name trials by their numbers.

    >>> name_trials([0, 1, 2, 5]), name_trials([3])
    ('trials 0 to 2, 5', 'trial 3')
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    named = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)
    return f"trial{'s' if len(numbers) > 1 else ''} {named}"
