"""The search for better options: trials whose networks have the same shapes are trained as one stack."""

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pandas as pd
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import CheckpointStore
from torchlane.core.machine.devices import choose_device
from torchlane.core.model.trained import FORMAT
from torchlane.core.networks import build_network
from torchlane.core.options import DataOptions, EncodingOptions, Recipe, TrainingOptions, TuningOptions, fault_of
from torchlane.core.rows.splits import rows_of
from torchlane.core.search.chosen import (
    AGAIN,
    Chosen,
    data_fingerprint,
    found_for,
    misfit,
    no_change,
    space_fingerprint,
)
from torchlane.core.search.given import given_values, held_values
from torchlane.core.search.importances import Importances, weigh_options
from torchlane.core.search.space import Space, grid_size, read_values, resolve_space, write_value
from torchlane.core.tasks.objectives import Objective
from torchlane.core.tasks.tasks import TASKS
from torchlane.core.training.fit import fit, group_alike
from torchlane.core.training.members import Line, Member, Outcome, make_members
from torchlane.core.training.optimizers import Schedule, make_optimizer

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

KEPT_SHARE = 0.5  # of the trials that are compared when some are given up
FEWEST_COMPARED = 4
AS_GIVEN = "as given"  # stands in the leaderboard for what has no value of its own
RECORD = "record"  # the name under which Optuna keeps what became of a trial
Direction = Literal["maximize", "minimize"]
Found = tuple[Chosen, pd.DataFrame, Importances]  # what changed, the trials, the importance of each option
LEADERBOARD = ("trial", "state", "value", "epochs", "seconds", "error")


class StudyStore(Protocol):
    """Where searches are kept; `torchlane.datasets.studies` keeps them in a database.

    `worker` names this machine's part in a search that several share; it is empty where one does all.
    """

    worker: str

    def open(self, storage: str | None, identity: Mapping[str, str], direction: Direction) -> "Study":
        """Open the search that `identity` describes, or begin it.

        Raises:
            ValueError: the storage cannot be opened, or belongs to another search.
        """

    def found(self) -> Found | None:
        """Give what the last search found, as its files have it; None where it chose nothing.

        Raises:
            ValueError: a file cannot be read.
        """


@dataclass(frozen=True)
class Ground:
    """What a search works on; it never sees test."""

    clean_rows: pd.DataFrame
    splits: pd.DataFrame
    data: DataOptions
    recipe: Recipe
    options: TuningOptions

    @property
    def metric(self) -> str:
        return TASKS[self.data.task].primary_metric

    @property
    def direction(self) -> Direction:
        return "maximize" if self.metric.endswith("_score") else "minimize"

    def better(self, value: float) -> float:
        """Turn a value of the metric into a number that is lower the better it is."""
        return -value if self.direction == "maximize" else value


def choose_options(ground: Ground, store: StudyStore, checkpoints: CheckpointStore) -> Found:
    """Search for better options: what changed, the trials best first, and the importance of each option.

    Without trials, what the last search found stays until the rows change. A search cut off goes on from what
    the store and the checkpoints hold, and ends the same.

    Raises:
        ValueError: valid has no rows, the space does not fit the network, the grid has more combinations
            than there are trials, the storage cannot be used, or all trials failed.
    """
    options = ground.options
    if not options.trials:
        return _found_before(ground, store)
    if rows_of("valid", ground.clean_rows, ground.splits).empty:
        raise ValueError(
            "the search compares options on valid, which has no rows; set split.valid_fraction above 0, "
            "or tuning.trials to 0"
        )
    space = resolve_space(options, ground.recipe, ground.data)
    n_trials = options.trials if options.sampler != "grid" else _grid_trials(space, options)
    search = _Search(ground, space, store, checkpoints)
    search.run(n_trials)
    return search.chosen(), search.leaderboard(), search.importances()


def no_trials() -> pd.DataFrame:
    """Give a leaderboard without lines."""
    return pd.DataFrame(columns=list(LEADERBOARD))


def _found_before(ground: Ground, store: StudyStore) -> Found:
    found = store.found()
    fault = misfit(found[0], ground.clean_rows, ground.splits, ground.data) if found else ""
    if found and not fault:
        return found
    if found:
        logger.warning("search: what was chosen is dropped, since %s; %s", fault, AGAIN)
    return no_change(), no_trials(), {}


def _grid_trials(space: Space, options: TuningOptions) -> int:
    size = grid_size(space, options.grid_points)
    if size > options.trials:
        raise ValueError(
            f"the grid has {size:,} combinations, more than tuning.trials {options.trials:,}; raise trials, "
            f"take choices or ranges out of tuning.space, or set tuning.sampler to random"
        )
    return size


@dataclass(frozen=True)
class _Candidate:
    """A trial made ready: its networks, or why there are none."""

    trial: "FrozenTrial"
    members: Sequence[Member]
    error: str = ""

    @property
    def number(self) -> int:
        return self.trial.number


class _Search:
    """One search on its way."""

    def __init__(self, ground: Ground, space: Space, store: StudyStore, checkpoints: CheckpointStore):
        self._ground = ground
        self._space = space
        self._store = store
        self._checkpoints = checkpoints
        self._encoded: dict[str, tuple[Encoder, TensorDataset, TensorDataset]] = {}
        self._given = given_values(ground.recipe, space, ground.data)
        self._held = held_values(ground.recipe, space, ground.data)
        self._identity = self._identify()
        self._study = store.open(ground.options.storage, self._identity, ground.direction)

    def run(self, n_trials: int) -> None:
        """Train until there are so many trials, in rounds."""
        self._log_start(n_trials)
        while True:
            numbers = self._open_round() or self._ask(n_trials)
            if not numbers:
                break
            candidates = [self._make_ready(trial) for trial in self._trials() if trial.number in numbers]
            for each in candidates:
                if each.error:
                    self._tell(each.trial, {"value": None, "epochs": 0, "error": each.error})
            sound = [each for each in candidates if not each.error]
            for positions in group_alike([each.members[0] for each in sound]):
                self._train([sound[position] for position in positions])
        elsewhere = sum(not trial.state.is_finished() for trial in self._trials())
        if elsewhere:
            logger.info("search: %d trials are still with other machines; what is chosen may change", elsewhere)

    def chosen(self) -> Chosen:
        """Say what the best of the trials that were trained to the end changed.

        Raises:
            ValueError: there is none.
        """
        best, *_ = self._ranked()
        if best.state.name != "COMPLETE":
            raise ValueError(f"all {len(self._trials())} trials of the search failed: {self._failures()}")
        values, value = self._values(best), best.user_attrs[RECORD]["value"]
        logger.info(
            "search: the best of %d trials is trial %d: valid %s %.4g, %s; %s",
            len(self._trials()),
            best.number,
            self._ground.metric,
            value,
            self._compared(best),
            ", ".join(f"{name} {_shown(each)}" for name, each in values.items()),
        )
        options, recipe = self._ground.options, self._ground.recipe
        return {
            "trials": len(self._trials()),
            "trial": best.number,
            f"valid_{self._ground.metric}": value,
            "values": values,
            "found_for": found_for(recipe, self._space),
            "space_fingerprint": space_fingerprint(options.space),
            "data_fingerprint": self._identity["data"],
        }

    def _compared(self, best: "FrozenTrial") -> str:
        """Say how far the best trial is ahead of the options as given, or that the search did not help."""
        given = self._as_given()
        if given is None:
            return "the options as given are no trial of the grid"
        record = given.user_attrs.get(RECORD, {})
        if given.state.name != "COMPLETE":
            fate = f"failed: {record['error']}" if record.get("error") else "are still with another machine"
            return f"the options as given (trial {given.number}) {fate}"
        better = self._ground.better
        if given.number != best.number:
            ahead = better(record["value"]) - better(best.user_attrs[RECORD]["value"])
            return f"{ahead:.2g} better than the options as given (trial {given.number}: {record['value']:.4g})"
        others = [each for each in self._ranked() if each.state.name == "COMPLETE" and each is not given]
        behind = [better(each.user_attrs[RECORD]["value"]) - better(record["value"]) for each in others[:1]]
        nearest = ", ".join(f"the next is {each:.2g} behind" for each in behind) or "no other was trained to the end"
        return f"with the options as given: no other is better ({nearest})"

    def leaderboard(self) -> pd.DataFrame:
        """List the trials, best first: what they tried and what became of them."""
        lines = []
        for trial in self._ranked():
            record = trial.user_attrs.get(RECORD, {})
            found = self._values(trial)
            values = {name: _shown(found.get(name, AS_GIVEN)) for name in sorted(self._space)}
            line = {"trial": trial.number, "state": trial.state.name.lower(), **record}
            lines.append({name: line.get(name) for name in LEADERBOARD} | values)
        return pd.DataFrame(lines).rename(columns={"value": f"valid_{self._ground.metric}"})

    def importances(self) -> Importances:
        """Say how much each option mattered; a trial that was given up counts with what it had reached."""
        valued = {
            trial.number: trial.user_attrs[RECORD]["value"]
            for trial in self._trials()
            if trial.user_attrs.get(RECORD, {}).get("value") is not None and trial.params.keys() == self._space.keys()
        }
        trials = [trial for trial in self._trials() if trial.number in valued]
        return weigh_options(trials, [*valued.values()], self._ground.direction)

    def _identify(self) -> dict[str, str]:
        ground = self._ground
        options = ground.options
        fixed = ground.recipe.model_dump(mode="json", exclude={"trials"})
        for name in ("members", "device", "checkpoint_minutes", "checkpoint_epochs"):
            fixed["training"].pop(name)
        searched = options.model_dump(mode="json", include={"sampler", "seed", "members", "epochs", "prune_epochs"})
        space = {name: each.model_dump(mode="json") for name, each in self._space.items()}
        return {
            "data": data_fingerprint(ground.clean_rows, ground.splits, ground.data),
            "space": _digest(space),
            "options": _digest({**fixed, **searched, "points": options.grid_points}),
        }

    def _trials(self) -> "list[FrozenTrial]":
        return self._study.get_trials(deepcopy=False)

    def _ranked(self) -> "list[FrozenTrial]":
        """The trials, best first: those trained to the end, those given up, those that failed, the rest.

        Of equals the options as given come first.
        """
        given = self._as_given()

        def place(trial: "FrozenTrial") -> tuple[int, float, bool, int]:
            value = trial.user_attrs.get(RECORD, {}).get("value")
            states = ("COMPLETE", "PRUNED", "FAIL")
            state = states.index(trial.state.name) if trial.state.name in states else len(states)
            return state, math.inf if value is None else self._ground.better(value), trial is not given, trial.number

        return sorted(self._trials(), key=place)

    def _as_given(self) -> "FrozenTrial | None":
        """The trial that takes the options as given: the first, or one of a grid."""
        return next((trial for trial in self._trials() if trial.params == self._held), None)

    def _values(self, trial: "FrozenTrial") -> dict[str, Any]:
        """Say what a trial tries, by the name of an option; what it does not hold is as given."""
        drawn = read_values(trial.params, self._space)
        return dict(sorted(({**self._given, **drawn} if len(drawn) < len(self._space) else drawn).items()))

    def _failures(self) -> str:
        """Say why each trial failed, those with one reason together."""
        numbers: dict[str, list[int]] = {}
        for trial in self._trials():
            reason = trial.user_attrs.get(RECORD, {}).get("error") or trial.state.name.lower()
            numbers.setdefault(reason, []).append(trial.number)
        return "; ".join(f"{_counted(each)}: {reason}" for reason, each in numbers.items())

    def _open_round(self) -> list[int]:
        """The trials of a round that are not all finished, where a run was cut off; those it lacks are asked for."""
        mine = [trial for trial in self._trials() if trial.user_attrs.get("worker") == self._store.worker]
        unfinished = next((trial.user_attrs for trial in mine if not trial.state.is_finished()), None)
        if unfinished is None:
            return []
        return self._fill(unfinished["round"], unfinished["round_trials"])

    def _ask(self, n_trials: int) -> list[int]:
        """Ask for the next round, and write it down before anything is trained."""
        from torchlane.core.search.sampling import round_size

        known = len(self._trials())
        n_new = min(n_trials - known, round_size(self._ground.options))
        return self._fill(f"{self._store.worker} {known}", n_new) if n_new > 0 else []

    def _fill(self, asked: str, n_trials: int) -> list[int]:
        """Ask until a round has so many trials: their numbers."""
        import optuna

        from torchlane.core.search.sampling import ask

        options = self._ground.options
        n_new = n_trials - sum(trial.user_attrs.get("round") == asked for trial in self._trials())
        salt = [int(_digest(self._store.worker)[:8], 16)] if self._store.worker else []
        for drawn in ask(self._study, self._space, options, self._held, salt, n_new):
            self._study.add_trial(
                optuna.create_trial(
                    state=optuna.trial.TrialState.RUNNING,
                    params=drawn.params,
                    distributions=drawn.distributions,
                    user_attrs={"worker": self._store.worker, "round": asked, "round_trials": n_trials},
                )
            )
        return [trial.number for trial in self._trials() if trial.user_attrs.get("round") == asked]

    def _make_ready(self, trial: "FrozenTrial") -> _Candidate:
        """Build the networks of a trial; what it cannot be is its failure, not the search's."""
        ground = self._ground
        try:
            recipe = ground.recipe.changed(self._values(trial))
            training = _training_of(recipe.training, ground.options)
            encoder, train, valid = self._encode(recipe.encoding)
            objective, device = Objective.of(encoder.target, training.loss), choose_device(training.device)
            build = partial(build_network, recipe.model, encoder, training.augmentation)
            members = make_members(build, train, valid, objective, training, device)
            optimizer = make_optimizer(members[0].model.parameters(), training.optimizer, training.learning_rate)
            Schedule(optimizer, training.scheduler, training.epochs, len(members[0].batch_sizes))
        except ValueError as error:
            return _Candidate(trial, [], fault_of(error))
        return _Candidate(trial, members)

    def _encode(self, encoding: EncodingOptions) -> tuple[Encoder, TensorDataset, TensorDataset]:
        """Fit an encoder on train, once for each encoding."""
        key = encoding.model_dump_json()
        if key not in self._encoded:
            ground = self._ground
            parts = [rows_of(part, ground.clean_rows, ground.splits) for part in ("train", "valid")]
            encoder = fit_encoder(parts[0], ground.data, encoding)
            train, valid = (build_tensors(rows, encoder) for rows in parts)
            self._encoded[key] = encoder, train, valid
        return self._encoded[key]

    def _train(self, stack: list[_Candidate]) -> None:
        """Train the trials of one stack, or one alone, and write down what became of each."""
        told = {trial.number: trial for trial in self._trials() if trial.state.is_finished()}
        numbers = [each.number for each in stack]
        if all(number in told for number in numbers):
            return
        members = [member for each in stack for member in each.members]
        owners = [each.number for each in stack for _ in each.members]
        others = [trial.user_attrs.get(RECORD, {}) for number, trial in told.items() if number not in numbers]
        identity = _digest([FORMAT, self._identity, self._store.worker, numbers])
        given = self._as_given()
        kept = None if given is None else given.number
        stop = _Halving(self._ground, owners, others, kept) if self._ground.options.prune_epochs else None
        outcomes = fit(members, self._checkpoints.of_run(identity), stop=stop, keep_going=True, quiet=True)
        records = []
        for each in stack:
            own = [outcome for outcome, owner in zip(outcomes, owners, strict=True) if owner == each.number]
            record = self._record(own, each.members[0].options)
            record["seconds"] = round(sum(line["seconds"] for outcome in own for line in outcome["history"]), 3)
            records.append(record)
            self._tell(each.trial, record)
        self._log_stack(numbers, records)

    def _record(self, outcomes: Sequence[Outcome], training: TrainingOptions) -> dict[str, Any]:
        """Sum up what became of the members of a trial."""
        name = f"valid_{self._ground.metric}"
        error = next((outcome["error"] for outcome in outcomes if outcome["error"]), "")
        value = math.nan if error else _mean([outcome["kept"][name] for outcome in outcomes])
        if not error and not math.isfinite(value):
            error = f"{self._ground.metric} is not defined on valid"
        rungs = {}
        for epoch in _rungs(self._ground.options):
            reached = [outcome for outcome in outcomes if len(outcome["history"]) >= epoch]
            if len(reached) == len(outcomes) and not error:
                rungs[str(epoch)] = _mean([_kept_until(outcome["history"], epoch)[name] for outcome in outcomes])
        return {
            "value": None if error else value,
            "epochs": max(len(outcome["history"]) for outcome in outcomes),
            "pruned": any(_was_given_up(outcome, training) for outcome in outcomes),
            "rungs": rungs,
            "error": error,
        }

    def _tell(self, trial: "FrozenTrial", record: dict[str, Any]) -> None:
        """Write down what became of a trial, unless that was done before a run was cut off."""
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

    def _log_start(self, n_trials: int) -> None:
        known = self._trials()
        done = sum(trial.state.is_finished() for trial in known)
        logger.info(
            "search: %d trials (%s) over %s, by %s on valid%s",
            n_trials,
            self._ground.options.sampler,
            ", ".join(sorted(self._space)),
            self._ground.metric,
            f"; {done} are done already" if done else "",
        )

    def _log_stack(self, numbers: list[int], records: list[dict[str, Any]]) -> None:
        values = [record["value"] for record in records if record["value"] is not None]
        logger.info(
            "search: %s%s: best valid %s %s, %d given up, %d failed, %.1f s",
            _counted(numbers),
            " in one stack" if len(numbers) > 1 else "",
            self._ground.metric,
            _shown(min(values, key=self._ground.better) if values else None),
            sum(record["pruned"] for record in records),
            sum(bool(record["error"]) for record in records),
            sum(record["seconds"] for record in records),
        )


class _Halving:
    """Gives up the worse half of the trials that are compared, by successive halving.

    A trial is compared with those of its own stack that still train, and with what trials of other stacks
    had reached after as many epochs (Jamieson and Talwalkar 2016, arXiv 1502.07943). The trial `kept` counts
    in the comparison but is never given up.
    """

    def __init__(
        self, ground: Ground, owners: Sequence[int], others: Sequence[Mapping[str, Any]], kept: int | None = None
    ):
        self._ground = ground
        self._owners = owners  # the trial of each member
        self._others = others  # records of finished trials
        self._kept = kept
        self._rungs = set(_rungs(ground.options))

    def __call__(self, epoch: int, kept: dict[int, Line]) -> set[int]:
        if epoch not in self._rungs:
            return set()
        own: dict[int, list[float]] = {}
        for member, line in kept.items():
            own.setdefault(self._owners[member], []).append(line[f"valid_{self._ground.metric}"])
        values = {trial: self._ground.better(_mean(each)) for trial, each in own.items()}
        values = {trial: math.inf if math.isnan(value) else value for trial, value in values.items()}
        others = [record["rungs"][str(epoch)] for record in self._others if str(epoch) in record.get("rungs", {})]
        compared = sorted([*values.values(), *map(self._ground.better, others)])
        if len(compared) < FEWEST_COMPARED:
            return set()
        worst_kept = compared[math.ceil(KEPT_SHARE * len(compared)) - 1]
        given_up = {trial for trial, value in values.items() if value > worst_kept and trial != self._kept}
        return {member for member in kept if self._owners[member] in given_up}


def _training_of(training: TrainingOptions, options: TuningOptions) -> TrainingOptions:
    return training.model_copy(update={"members": options.members, "epochs": options.epochs or training.epochs})


def _rungs(options: TuningOptions) -> list[int]:
    """The epochs after which trials are compared."""
    if options.prune_epochs is None:
        return []
    return [options.prune_epochs * 2**number for number in range(16)]


def _kept_until(history: Sequence[Line], epoch: int) -> Line:
    """The line that a member would have kept, had it ended after an epoch."""
    return min(history[:epoch], key=lambda line: line["valid_loss"])


def _was_given_up(outcome: Outcome, training: TrainingOptions) -> bool:
    """Whether a member ended before its epochs and its patience did."""
    last = len(outcome["history"])
    patience = training.patience_epochs
    waited = last - int(outcome["kept"]["epoch"])
    return not outcome["error"] and last < training.epochs and (patience is None or waited < patience)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _digest(named: Any) -> str:
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def _shown(value: Any) -> Any:
    """Write a value for people, with six digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else value if isinstance(value, (int, str)) else write_value(value)


def _counted(numbers: Sequence[int]) -> str:
    """Name trials.

    >>> _counted([0, 1, 2, 5]), _counted([3])
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
