"""Training again what is done: which runs, and what becomes of it."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hpc.console import ALL_WELL, NO_SCHEDULER, SOME_FAILED, Refused, count
from hpc.execution.agreeing import SHIFT_LEVEL, Compared, Verdict, shift, verdicts
from hpc.execution.executor import Redo
from hpc.state.again import Pair, pairs
from hpc.state.replacing import replace_records, shards_with
from hpc.state.runs import State, state_of_redo
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.duplicates import differing, must_be_equal
from noisy.runs import ID, Runs

_ORIGIN = ("data_digest", "code_commit")  # what else may explain that records differ
_SEED = re.compile(r"(.*) --seed (\d{1,18})", re.ASCII)
_MOST_NAMED = 20  # runs


@dataclass(frozen=True)
class Asked:
    """What a redo is asked for. words: the filter; sample: how many runs, None: all; seed: of the sample, None: any."""

    words: tuple[str, ...]
    sample: int | None = None
    seed: int | None = None
    replaces: bool = False

    @property
    def without_seed(self) -> str:
        """In words, without the seed of the sample."""
        sample = [f"--sample {self.sample}"] * (self.sample is not None)
        return " ".join([*self.words, *["--replace"] * self.replaces, *sample]) or "all that is done"

    def redo(self, earlier: Iterable[Submission], new_seed: int, is_new: bool = False) -> Redo:
        """The newest redo that was asked for the same, or a new one. new_seed: of a new sample for which none is given."""
        for submission in sorted(earlier, key=lambda each: -each.number):
            same, seed = _parted(submission.asked)
            if submission.redo and same == self.without_seed and not is_new and self.seed in (None, seed):
                return Redo(submission.asked, submission.redo)
        seed = new_seed if self.seed is None else self.seed
        return Redo(self.without_seed + (f" --seed {seed}" if self.sample is not None else ""))


def _parted(asked: str) -> tuple[str, int]:
    """What a redo was asked for, without the seed of its sample; and the seed, 0 if it has none."""
    match = _SEED.fullmatch(asked)
    return (match[1], int(match[2])) if match else (asked, 0)


def drawn(run_ids: Sequence[bytes], n: int, seed: int, first: Collection[bytes] = ()) -> np.ndarray:
    """int64 (k,), ascending: the places of `n` of these runs, or of all if there are fewer.

    It depends on the seed and on the runs' names, not on their order. Those that are `first` come before all others.
    """
    keys = [hashlib.blake2b(b"%d:%b" % (seed, run_id), digest_size=8).digest() for run_id in run_ids]
    order = sorted(range(len(keys)), key=lambda i: (run_ids[i] not in first, keys[i]))
    return np.array(sorted(order[:n]), int)


def wanted(found: State, chosen: np.ndarray, asked: Asked, redo: Redo) -> np.ndarray:
    """int64 (k,), ascending: the places of the runs that a redo means. chosen: places of those that the filter lets pass."""
    done = np.intersect1d(chosen, found.places("done"))
    if asked.sample is None:
        return done
    begun = {run_id for each in found.known.of_redo(redo.number or -1).submitted for run_id in each.tasks.run_id.tolist()}
    return done[drawn(found.runs.run_id[done].tolist(), asked.sample, _parted(redo.asked)[1], begun)]


def answer(campaign: Campaign, found: State, runs: Runs, redo: Redo, replaces: bool, same: str) -> int:
    """Say what became of a redo of these runs, and replace records if that is asked and all are done; the exit status.

    Args:
        same: words for the command that goes on with it.
    """
    own = state_of_redo(found, redo.number, runs)
    n_done, n_open = own.count("done"), sum(own.count(name) for name in ("running", "queued", "unknown"))
    open_ones = f", {n_open} at work or waiting" if n_open else ""
    print(f"redo {redo.number:04d} ({redo.asked}): {n_done} of {count(len(runs), 'run')} trained again{open_ones}")
    both = pairs(campaign, found.known, redo.number, runs.run_id)
    is_well = _judged(both, found, runs) and not found.problems
    for place in own.places("failed", "lost"):
        print(f"  run {runs.run_id[place].decode()} {runs.at(place).label}: {own.of(place)}; its earlier record still counts")
    if n_done < len(runs):
        retry = "; --retry-failed tries again what failed three times" if own.is_given_up.any() else ""
        unchanged = " Nothing is replaced yet." if replaces else ""
        print(f"{same} goes on with what is missing, and gives the answer{retry}.{unchanged}")
        is_well = is_well and n_done + n_open == len(runs)
    elif replaces:
        print(_replaced(campaign, found, redo, runs))
        is_well = not found.problems  # new records may differ: that is what they are for
    elif len(both) < n_done:
        print(f"  {count(n_done - len(both), 'run')} cannot be compared: there is no earlier record any more")
        is_well = False
    if found.unreachable:
        return NO_SCHEDULER
    return ALL_WELL if is_well else SOME_FAILED


def _judged(both: Sequence[Pair], found: State, runs: Runs) -> bool:
    """Print how many runs agree, and name those that do not; returns whether all agree."""
    compared = _compared(both, found)
    verdict = verdicts(compared)
    counts = Counter(verdict)
    for each in Verdict:
        if counts[each] or (each is Verdict.BITS and both):
            print(f"  {each.of(counts[each])}" + _machines(both, verdict, each))
    named = [pair for pair, each in zip(both, verdict, strict=True) if not each.is_well and each is not Verdict.UNKNOWN]
    for pair in named[:_MOST_NAMED]:
        (place,) = runs.places_of(np.array([pair.run_id]))
        print(f"  run {pair.run_id.decode()} {runs.at(int(place)).label}: {_differ(pair)}")
    if len(named) > _MOST_NAMED:
        print(f"  and {len(named) - _MOST_NAMED} more runs")
    n_better, n, p_value = shift(compared)
    if is_shifted := p_value < SHIFT_LEVEL:
        print(f"  together they are shifted: {n_better} of {n} are more accurate than before (sign test: p = {p_value:.2g})")
    return all(each.is_well for each in verdict) and not is_shifted


def _compared(both: Sequence[Pair], found: State) -> list[Compared]:
    """What the rules need to know of each pair. The spread of a cell is that of all its records that count."""
    recorded = found.recorded
    rows = recorded.records[recorded.counting[recorded.is_finished[recorded.counting]]]
    places = found.runs.places_of(rows["run_id"])
    cell, accuracy = found.runs.cell[places[places >= 0]], rows["test_accuracy"][places >= 0]
    n = np.bincount(cell, minlength=len(found.runs.cells))
    mean = np.bincount(cell, accuracy, len(n)) / np.maximum(n, 1)
    spread = np.sqrt(np.bincount(cell, (accuracy - mean[cell]) ** 2, len(n)) / np.maximum(n - 1, 1))
    cells = found.runs.cell[found.runs.places_of(np.array([pair.run_id for pair in both], ID))]
    return [
        Compared(
            pair.old.digest == pair.new.digest,
            must_be_equal(pair.old.attributes, pair.new.attributes),
            pair.new.accuracy - pair.old.accuracy,
            float(spread[its_cell]),
            int(n[its_cell]),
            1 / max(1, pair.new.n_test),
        )
        for pair, its_cell in zip(both, cells.tolist(), strict=True)
    ]


def _machines(both: Sequence[Pair], verdict: Sequence[Verdict], which: Verdict) -> str:
    """Why equal bits were not due from the pairs with this verdict."""
    if which in (Verdict.BITS, Verdict.DIFFERS):
        return ""
    some = [pair for pair, each in zip(both, verdict, strict=True) if each is which]
    names = sorted({name for pair in some for name in differing(pair.old.attributes, pair.new.attributes)})
    few = "; their cells have fewer than three repeats" if which is Verdict.UNKNOWN else ""
    return f" (other {', '.join(names)}{few})" if names else f" (trained together with other runs{few})"


def _differ(pair: Pair) -> str:
    old, new = (f"accuracy {one.accuracy!r} ({one.status}) in {one.shard}" for one in (pair.old, pair.new))
    others = (
        f"; {name} {pair.old.attributes.get(name, '')} -> {pair.new.attributes.get(name, '')}"
        for name in _ORIGIN
        if pair.old.attributes.get(name) != pair.new.attributes.get(name)
    )
    return f"{old}; {new}{''.join(others)}"


def _replaced(campaign: Campaign, found: State, redo: Redo, runs: Runs) -> str:
    """Replace the earlier records of these runs; says what was done.

    Raises:
        Refused: a worker may still write them.
    """
    sources = shards_with(found.known, redo.number, runs.run_id)
    at_work = {submission.number for submission in found.activities}
    if busy := sorted(at_work & {source.task[0] for source in sources}):
        raise Refused(f"nothing is replaced: submission {busy[0]:04d} is at work and writes the same shards; wait for its end")
    n_records = replace_records(campaign, sources, redo.number, runs.run_id)
    if not n_records:
        return "The new records count; there are no others."
    place = campaign.replaced(redo.number)
    old = f"{count(n_records, 'earlier record')} {'does' if n_records == 1 else 'do'} not count any more"
    return f"The new records count. {old}. The shards with the old records are kept in {place}"
