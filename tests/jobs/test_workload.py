"""Several workers share out one submission: real processes race, are killed, lose their folder and have wrong clocks."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.claims import CLOCK_SKEW_S
from jobs.needs import needs_of, read_needs, to_bytes
from jobs.standings import BACK, DONE, HELD, LEFT, Standing, standings
from jobs.taking import Need, Taker
from jobs.workload import Taken, Workload
from tests.commands import ROOT
from tests.records import submitted
from tests.specs import spec

N_TASKS, N_WORKERS = 60, 4
WORKER = """
import sys, time
from pathlib import Path
from jobs.campaign import Campaign
from jobs.standings import DONE
from jobs.taking import Taker
from jobs.workload import Workload
folder, name, skew_s, hangs_after = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
work = Workload(Campaign(folder), 1, Taker(name), end_s=time.time() + skew_s + 600, clock=lambda: time.time() + skew_s)
print("ready", flush=True)
sys.stdin.readline()
n = 0
while taken := work.take():
    print(taken.place.index, flush=True)
    n += 1
    if n == hangs_after:
        time.sleep(60)
    work.mark(taken, DONE)
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return submitted(tmp_path / "c", tmp_path, *((spec(repeat=repeat),) for repeat in range(N_TASKS)))


def workers(campaign: Campaign, *options: tuple[float, int]) -> list[subprocess.Popen]:
    """Workers that begin at the same moment, each with an error of its clock and the number of tasks after which it hangs."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    started = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(campaign.folder), f"17_{i}", str(skew_s), str(hangs)], **pipes)
        for i, (skew_s, hangs) in enumerate(options)
    ]
    assert [worker.stdout.readline() for worker in started] == ["ready\n"] * len(options)
    for worker in started:
        worker.stdin.write("\n")
        worker.stdin.flush()
    return started


def taken_by(started: list[subprocess.Popen]) -> list[int]:
    """The tasks that workers took, to their end."""
    return [int(line) for worker in started for line in worker.communicate(timeout=60)[0].split()]


@pytest.mark.slow
@pytest.mark.parametrize("skew_s", [0.0, CLOCK_SKEW_S])
def test_each_task_is_taken_by_one_and_no_claim_is_left(campaign: Campaign, skew_s: float) -> None:
    tasks = taken_by(workers(campaign, *((skew_s * (i % 2), 0) for i in range(N_WORKERS))))
    assert sorted(tasks) == list(range(N_TASKS))
    assert (campaign.submission(1) / "finished").exists()
    assert not (campaign.submission(1) / "claims").exists()


@pytest.mark.slow
def test_what_killed_workers_held_is_taken_once_more(campaign: Campaign) -> None:
    held = workers(campaign, (0, 1), (0, 2), (0, 3))
    first = [[int(worker.stdout.readline()) for _ in range(n)] for n, worker in enumerate(held, start=1)]
    for worker in held:
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    tasks = [task for own in first for task in own] + taken_by(workers(campaign, *[(0, 0)] * 3))
    twice = sorted(task for task, n in Counter(tasks).items() if n == 2)
    assert sorted(set(tasks)) == list(range(N_TASKS))
    assert twice == sorted(own[-1] for own in first)
    assert len(tasks) == N_TASKS + 3


@pytest.mark.slow
def test_claims_that_are_removed_under_way_cost_work_and_lose_none(campaign: Campaign) -> None:
    started = workers(campaign, *[(0, 10)] * 3)
    for worker in started:
        for _ in range(10):
            worker.stdout.readline()
    shutil.rmtree(campaign.submission(1) / "claims")
    others = workers(campaign, (0, 0), (0, 0))
    assert sorted(taken_by(others)) == list(range(N_TASKS))
    for worker in started:
        worker.kill()
        worker.communicate()
    assert not (campaign.submission(1) / "claims").exists()


def test_two_holders_of_one_claim_do_no_harm(campaign: Campaign) -> None:
    one, two = (Workload(campaign, 1, Taker(f"17_{i}", mem_mb=900), n_tasks=1) for i in range(2))
    first = one.take()
    shutil.rmtree(campaign.submission(1) / "claims")
    second = two.take()
    assert first == second
    two.mark(second, BACK)
    one.mark(first, DONE)
    assert (one.take(), two.take()) == (None, None)
    assert standings(os.listdir(campaign.submission(1) / "claims")) == {0: Standing(DONE, 0)}


def test_a_lease_that_is_over_is_taken_and_its_holder_may_still_finish(campaign: Campaign) -> None:
    now_s = time.time()
    slow = Workload(campaign, 1, Taker("17_0"), end_s=now_s + 600, n_tasks=1)
    held = slow.take()
    soon = Workload(campaign, 1, Taker("17_1"), n_tasks=1, clock=lambda: now_s + 600 + CLOCK_SKEW_S - 5)
    later = Workload(campaign, 1, Taker("17_1"), n_tasks=1, clock=lambda: now_s + 600 + CLOCK_SKEW_S + 5)
    assert soon.take() is None
    again = later.take()
    assert (again.place, again.generation) == (held.place, 1)
    slow.mark(held, DONE)
    later.mark(again, DONE)
    assert standings(os.listdir(campaign.submission(1) / "claims")) == {0: Standing(DONE, 0)}


def test_a_job_that_was_restarted_gets_its_own_task_first(campaign: Campaign) -> None:
    for name in ("17_0", "17_1", "17_2"):
        Workload(campaign, 1, Taker(name)).take()
    again = Workload(campaign, 1, Taker("17_1", restart=1))
    own = again.take(is_fresh=True)
    assert (own.place.index, own.generation) == (1, 1)
    again.mark(own, LEFT)
    assert again.take(is_fresh=True).place.index == 3


def test_a_worker_does_not_take_again_what_it_left(campaign: Campaign) -> None:
    sweep = Workload(campaign, 1, Taker("18_0", is_sweep=True), n_tasks=1)
    left = sweep.take()
    sweep.mark(left, LEFT)
    assert sweep.take() is None
    assert Workload(campaign, 1, Taker("17_0"), n_tasks=1).take() is None
    assert Workload(campaign, 1, Taker("18_1", is_sweep=True), n_tasks=1).take().generation == 1


def test_needs_are_read_from_the_tasks_where_their_file_is_gone(campaign: Campaign) -> None:
    lines = campaign.tasks(1).read_bytes().splitlines(keepends=True)
    from_tasks = read_needs(campaign, 1)
    assert [need.offset_bytes for need in from_tasks[:2]] == [0, len(lines[0])]
    assert from_tasks[0] == Need(0, None, None, None)
    known = [Need(need.offset_bytes, 1.5, 2.0, 300) for need in from_tasks]
    campaign.needs(1).write_bytes(to_bytes(known))
    assert read_needs(campaign, 1) == known
    for damage in (b"", b"{}", b"[]", b'{"schema":1}', to_bytes(known)[:-9]):
        campaign.needs(1).write_bytes(damage)
        assert read_needs(campaign, 1) == from_tasks


def test_needs_are_found_in_the_head_of_a_line() -> None:
    line = b'{"task":0,"schema":3,"expected_s":1.5,"high_s":2,"mem_mb":null,"runs":[{"expected_s":9}]}\n'
    assert needs_of([line, line]) == [Need(0, 1.5, 2, None), Need(len(line), 1.5, 2, None)]
    assert needs_of([b'{"task":0,"runs":[]}\n']) == [Need(0)]


def test_where_claims_cannot_be_written_that_is_an_error(campaign: Campaign) -> None:
    (campaign.submission(1) / "claims").touch()
    with pytest.raises(NotADirectoryError):
        Workload(campaign, 1, Taker()).take()


def test_a_taken_task_tells_where_its_runs_are(campaign: Campaign) -> None:
    taken = Workload(campaign, 1, Taker("17_0", mem_mb=900), end_s=time.time() + 60).take()
    assert isinstance(taken, Taken)
    assert (taken.place.campaign, taken.place.submission, taken.place.index) == (campaign, 1, 0)
    assert standings(os.listdir(campaign.submission(1) / "claims")) == {0: Standing(HELD, 0)}
