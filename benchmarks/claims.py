"""python -m benchmarks.claims FOLDER [--rounds 100] [--processes 80] [--tasks 2000]: workers race for tasks.

In each round all processes begin at the same moment, and take task after task by jobs/workload.py, as workers do, but train
nothing. One in ten is killed (kill -9) while it holds its first task. One in four has a clock that is five minutes fast. Every
task must be taken; by how many, and what the race costs, is printed: one line a round, and the sums. FOLDER says which file
system is tried. Exit status 1: a task was not taken, or two workers held one at the same time, or claims were left.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

from jobs.campaign import Campaign
from jobs.claims import CLOCK_SKEW_S
from jobs.files import publish
from jobs.needs import to_bytes
from jobs.standings import DONE
from jobs.taking import Need, Taker
from jobs.workload import Workload

KILLED_EVERY, SKEWED_EVERY = 10, 4


@dataclass(frozen=True)
class Round:
    """What became of one race.

    taken: task -> how often it was taken; killed: how many workers were; most_files: names in the folder of claims at the most;
    left: names in it at the end.
    """

    taken: Counter[int]
    killed: int
    most_files: int
    left: int
    wall_s: float


def _work(folder: Path, number: int, start: Barrier, said: Path) -> None:
    """One worker. It writes down each task before it marks it as done."""
    skew_s = CLOCK_SKEW_S if number % SKEWED_EVERY == 1 else 0
    work = Workload(Campaign(folder), 1, Taker(f"17_{number}"), clock=lambda: time.time() + skew_s, end_s=time.time() + 3600)
    start.wait()
    with said.open("w") as file:
        while taken := work.take():
            file.write(f"{taken.place.index}\n")
            file.flush()
            if number % KILLED_EVERY == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            work.mark(taken, DONE)


def race(folder: Path, n_processes: int, n_tasks: int) -> Round:
    """One round, in a new folder."""
    campaign, said = Campaign(folder), folder / "said"
    campaign.submission(1).mkdir(parents=True)
    said.mkdir()
    publish(campaign.needs(1), to_bytes([Need(task) for task in range(n_tasks)]))
    context = multiprocessing.get_context("fork")
    start = context.Barrier(n_processes + 1)
    arguments = [(folder, number, start, said / str(number)) for number in range(n_processes)]
    workers = [context.Process(target=_work, args=each) for each in arguments]
    for worker in workers:
        worker.start()
    start.wait()
    began_s, claims, most = time.monotonic(), campaign.submission(1) / "claims", 0
    while any(worker.is_alive() for worker in workers):
        most = max(most, len(os.listdir(claims)) if claims.exists() else 0)
        time.sleep(0.05)
    wall_s = time.monotonic() - began_s
    taken = Counter(int(line) for path in said.iterdir() for line in path.read_text().split())
    killed = sum(worker.exitcode == -signal.SIGKILL for worker in workers)
    return Round(taken, killed, most, len(os.listdir(claims)) if claims.exists() else 0, wall_s)


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description="Workers race for tasks.")
    parser.add_argument("folder", type=Path)
    for name, default in (("rounds", 100), ("processes", 80), ("tasks", 2000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    problems, n_taken, n_twice, n_killed = 0, 0, 0, 0
    for number in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory(prefix="claims-", dir=options.folder) as place:
            found = race(Path(place) / "campaign", options.processes, options.tasks)
        missed = options.tasks - len(found.taken)
        more = sum(found.taken.values()) - len(found.taken)
        is_wrong = missed or found.left or more > found.killed  # what a killed worker held is taken once more
        problems += bool(is_wrong)
        n_taken, n_twice, n_killed = n_taken + len(found.taken), n_twice + more, n_killed + found.killed
        print(
            f"round {number}: {len(found.taken)} tasks taken, {missed} missed; {found.killed} workers killed, "
            f"{more} tasks taken twice; {found.most_files} claims at most, {found.left} left; {found.wall_s:.1f} s",
            flush=True,
        )
    each = "each by one worker, but for those whose worker was killed" if not problems else f"{problems} ROUNDS WRONG"
    print(
        f"{options.rounds} rounds of {options.processes} processes and {options.tasks} tasks in {options.folder}: {n_taken:,} "
        f"taken, {each}: {n_killed} killed, {n_twice} taken twice"
    )
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
