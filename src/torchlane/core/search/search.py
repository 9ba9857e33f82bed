"""The search for better options: trials whose networks have the same shapes train as one stack."""

import logging
from collections.abc import Sequence

import pandas as pd

from torchlane.core.machine.bars import Bar
from torchlane.core.machine.checkpoints import CheckpointStore
from torchlane.core.machine.naming import naming
from torchlane.core.model.trained import FORMAT
from torchlane.core.options import TuningOptions, shown_number
from torchlane.core.rows.splits import rows_of
from torchlane.core.search.candidates import Candidate, CandidateBuilder
from torchlane.core.search.chosen import AGAIN, Chosen, found_for, no_change, why_stale
from torchlane.core.search.edges import edges_of
from torchlane.core.search.fingerprints import fingerprint, identify_search, space_fingerprint
from torchlane.core.search.ground import Ground
from torchlane.core.search.halving import Halving
from torchlane.core.search.leaderboard import empty_leaderboard, make_leaderboard, show_value
from torchlane.core.search.option_importances import OptionImportances, weigh_options
from torchlane.core.search.paired import score_rows
from torchlane.core.search.records import Record, failed, make_record, record_of
from torchlane.core.search.space import Space, grid_size, resolve_space
from torchlane.core.search.store import Found, StudyStore
from torchlane.core.search.trials import Trials, name_trials
from torchlane.core.search.verdict import Verdict, decide
from torchlane.core.training.fit import fit
from torchlane.core.training.grouping import group_alike
from torchlane.core.training.saving import STATE

logger = logging.getLogger(__name__)


def choose_options(ground: Ground, store: StudyStore, checkpoints: CheckpointStore) -> Found:
    """Search for better options: the chosen values, the leaderboard, and the importance of each option.

    With `tuning.trials` 0, the result of the last search stands until the rows change. A search that was
    interrupted continues from the store and the checkpoints, and ends with the same result.

    Raises:
        ValueError: valid has no rows, the space does not fit the network, the grid has more combinations
            than there are trials, the storage cannot be used, or all trials failed.
    """
    options = ground.options
    if not options.trials:
        return _last_found(ground, store)
    if rows_of("valid", ground.clean_rows, ground.splits).empty:
        raise ValueError(
            "the search compares options on valid, which has no rows; set split.valid_fraction above 0, "
            "or tuning.trials to 0"
        )
    ground = ground.fitted()
    space = resolve_space(options, ground.recipe, ground.data)
    if options.sampler == "grid":
        _require_small_grid(space, options)
    search = _Search(ground, space, store, checkpoints)
    search.run()
    verdict = search.decide()
    return search.chosen(verdict), search.leaderboard(verdict), search.importances()


def _last_found(ground: Ground, store: StudyStore) -> Found:
    found = store.found()
    if found:
        reason = why_stale(found[0], ground.clean_rows, ground.splits, ground.data)
        if not reason:
            return found
        logger.warning("search: the last choice is dropped, since %s; %s", reason, AGAIN)
    return no_change(), empty_leaderboard(), {}


def _require_small_grid(space: Space, options: TuningOptions) -> None:
    size = grid_size(space, options.grid_points)
    if size > options.trials:
        raise ValueError(
            f"the grid has {size:,} combinations, more than tuning.trials {options.trials:,}; raise trials, "
            f"take choices or ranges out of tuning.space, or set tuning.sampler to random"
        )


class _Search:
    """One search: rounds of trials until there are enough."""

    def __init__(self, ground: Ground, space: Space, store: StudyStore, checkpoints: CheckpointStore):
        self._ground = ground
        self._space = space
        self._checkpoints = checkpoints
        self._builder = CandidateBuilder(ground)
        self._identity = identify_search(ground, space)
        study = store.open(ground.options.storage, self._identity)
        self._worker = store.worker  # known once the study is open
        self._trials = Trials(study, self._worker, ground, space)

    def run(self) -> None:
        """Train round after round until there are enough trials."""
        n_trials = self._trials.wanted
        self._log_start(n_trials)
        with Bar("search", n_trials, "trial", initial=self._n_done()) as bar:
            while numbers := self._trials.open_round() or self._trials.ask():
                asked = [trial for trial in self._trials.all() if trial.number in numbers]
                candidates = [self._builder.build(trial, self._trials.values(trial)) for trial in asked]
                for each in candidates:
                    if each.error:
                        self._trials.tell(each.trial, failed(each.error))
                sound = [each for each in candidates if not each.error]
                for positions in group_alike([each.members[0] for each in sound]):
                    self._train([sound[position] for position in positions])
                    bar.update(self._n_done() - bar.n)
        elsewhere = sum(not trial.state.is_finished() for trial in self._trials.all())
        if elsewhere:
            logger.info("search: %d trials are still running on other machines; the choice may change", elsewhere)

    def decide(self) -> Verdict:
        """Choose a trial, or the options as given; say so in the log and in the study.

        Raises:
            ValueError: no trial was trained to the end.
        """
        verdict = decide(self._trials, self._ground.options)
        best, *_ = self._trials.ranked()
        logger.info(
            "search: the best of %d trials is trial %d: valid %s %s; %s",
            len(self._trials.all()),
            best.number,
            self._ground.metric,
            shown_number(record_of(best)["value"]),
            ", ".join(f"{name} {show_value(each)}" for name, each in self._trials.values(best).items()),
        )
        logger.info("search: %s", verdict.said)
        self._trials.note(verdict.said)
        return verdict

    def chosen(self, verdict: Verdict) -> Chosen:
        """Return what the search changes, and why."""
        trial = verdict.trial
        return {
            "trials": len(self._trials.all()),
            "trial": None if trial is None else trial.number,
            f"valid_{self._ground.metric}": None if trial is None else record_of(trial)["value"],
            "values": verdict.values,
            "said": verdict.said,
            "edges": edges_of(self._space, self._trials.trained_values()),
            "found_for": found_for(self._ground.recipe, self._space),
            "space_fingerprint": space_fingerprint(self._ground.options.space),
            "data_fingerprint": self._identity["data"],
        }

    def leaderboard(self, verdict: Verdict) -> pd.DataFrame:
        """List the trials, best first."""
        return make_leaderboard(self._trials, self._space, self._ground.metric, verdict)

    def importances(self) -> OptionImportances:
        """Say how much each option mattered. A trial that was given up counts with the value it had reached."""
        complete = [
            (trial, record_of(trial)["value"])
            for trial in self._trials.all()
            if record_of(trial).get("value") is not None and trial.params.keys() == self._space.keys()
        ]
        return weigh_options([trial for trial, _ in complete], [value for _, value in complete])

    def _train(self, stack: list[Candidate]) -> None:
        """Train the trials of one stack, or a single trial, and store what each reached."""
        finished = {trial.number: trial for trial in self._trials.all() if trial.state.is_finished()}
        numbers = [each.number for each in stack]
        if all(number in finished for number in numbers):
            return
        members = [member for each in stack for member in each.members]
        owners = [each.number for each in stack for _ in each.members]
        others = [record_of(trial) for number, trial in finished.items() if number not in numbers]
        run = self._checkpoints.of_run(fingerprint([FORMAT, STATE, self._identity, self._worker, numbers]))
        with naming(name_trials(numbers)):
            outcomes = fit(members, run, stop=self._make_stop(owners, others), keep_going=True, quiet=True)
        records = []
        for each in stack:
            own = [outcome for outcome, owner in zip(outcomes, owners, strict=True) if owner == each.number]
            records.append(make_record(self._ground, own, each.members[0].options))
            if not records[-1]["error"] and not records[-1]["pruned"]:
                records[-1]["paired"] = score_rows(self._ground, each, own)
            self._trials.tell(each.trial, records[-1])
        self._log_stack(numbers, records)

    def _make_stop(self, owners: Sequence[int], others: Sequence[Record]) -> Halving | None:
        if not self._ground.options.prune_epochs:
            return None
        given = self._trials.as_given()
        return Halving(self._ground, owners, others, kept=None if given is None else given.number)

    def _n_done(self) -> int:
        return sum(trial.state.is_finished() for trial in self._trials.all())

    def _log_start(self, n_trials: int) -> None:
        done = self._n_done()
        logger.info(
            "search: %d trials (%s) over %s, by %s on valid%s",
            n_trials,
            self._ground.options.sampler,
            ", ".join(sorted(self._space)),
            self._ground.metric,
            f"; {done} are done already" if done else "",
        )

    def _log_stack(self, numbers: list[int], records: list[Record]) -> None:
        values = [record["value"] for record in records if record["value"] is not None]
        logger.info(
            "search: %s%s: best valid %s %s, %d given up, %d failed, %.1f s",
            name_trials(numbers),
            " in one stack" if len(numbers) > 1 else "",
            self._ground.metric,
            shown_number(max(values) if values else None),
            sum(record["pruned"] for record in records),
            sum(bool(record["error"]) for record in records),
            sum(record["seconds"] for record in records),
        )
