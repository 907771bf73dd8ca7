"""Which redo a command line means, and which runs a sample has."""

from hpc.execution.executor import Redo
from hpc.execution.redoing import Asked, drawn
from hpc.planning.tasks import Plan
from hpc.state.submissions import Submission
from noisy.spec import Execution
from tests.specs import spec

IDS = [spec(repeat=repeat).run_id.encode() for repeat in range(100)]
PLAN = Plan([], 1, Execution())


def submissions(*redos: tuple[int, str]) -> list[Submission]:
    """Number 1, 2, ... with these redos."""
    return [
        Submission.by_this_process(number, "c0ffee", "local", PLAN, redo=redo, asked=asked)
        for number, (redo, asked) in enumerate(redos, start=1)
    ]


def test_the_same_words_mean_the_redo_that_there_is() -> None:
    before = submissions((0, ""), (2, "p=0.9"), (3, "all that is done"), (2, "p=0.9"))
    assert Asked(("p=0.9",)).redo(before, 7) == Redo("p=0.9", 2)
    assert Asked(()).redo(before, 7) == Redo("all that is done", 3)
    assert Asked(("p=0.8",)).redo(before, 7) == Redo("p=0.8", 0)
    assert Asked(("p=0.9",), replaces=True).redo(before, 7) == Redo("p=0.9 --replace", 0)
    assert Asked(("p=0.9",)).redo(before, 7, is_new=True) == Redo("p=0.9", 0)
    assert Asked(()).redo(submissions((0, "")), 7) == Redo("all that is done", 0)


def test_a_sample_without_a_seed_is_the_last_one_of_its_size() -> None:
    before = submissions((0, ""), (2, "--sample 20 --seed 5"), (3, "--sample 20 --seed 6"), (4, "--sample 10 --seed 8"))
    assert Asked((), 20).redo(before, 7) == Redo("--sample 20 --seed 6", 3)
    assert Asked((), 20, 5).redo(before, 7) == Redo("--sample 20 --seed 5", 2)
    assert Asked((), 20, 9).redo(before, 7) == Redo("--sample 20 --seed 9", 0)
    assert Asked((), 30).redo(before, 7) == Redo("--sample 30 --seed 7", 0)
    assert Asked((), 20).redo(before, 7, is_new=True) == Redo("--sample 20 --seed 7", 0)
    assert Asked(("p=0.9",), 20).redo(before, 7) == Redo("p=0.9 --sample 20 --seed 7", 0)


def test_a_sample_depends_on_its_seed_and_not_on_the_order_of_the_runs() -> None:
    places = drawn(IDS, 20, 1)
    assert len(places) == len(set(places.tolist())) == 20 and places.tolist() == sorted(places.tolist())
    names = {IDS[place] for place in places}
    assert {IDS[::-1][place] for place in drawn(IDS[::-1], 20, 1)} == names
    assert {IDS[place] for place in drawn(IDS, 20, 2)} != names
    assert names < {IDS[place] for place in drawn(IDS, 21, 1)}
    assert drawn(IDS[:5], 20, 1).tolist() == [0, 1, 2, 3, 4]


def test_each_run_is_drawn_as_often_as_any_other() -> None:
    n_drawn = [0] * 100
    for seed in range(1000):
        for place in drawn(IDS, 20, seed):
            n_drawn[place] += 1
    assert sum(n_drawn) == 20_000
    assert min(n_drawn) > 150 and max(n_drawn) < 250  # 200 expected, with a standard deviation of 12.6


def test_runs_that_were_begun_stay_in_the_sample() -> None:
    names = {IDS[place] for place in drawn(IDS[:50], 20, 1)}
    later = {IDS[place] for place in drawn(IDS, 20, 1, names)}  # more runs are done by now
    assert later == names != {IDS[place] for place in drawn(IDS, 20, 1)}
