"""The workers of one machine. They are forked from a process that has loaded torch, so they share its memory and start fast.

python -m jobs.pool CAMPAIGN_DIR SUBMISSION WORKERS

Executes the tasks of a submission, at most WORKERS at a time, each in a process of its own. The pool makes the claims
(jobs/claims.py) for its workers, which end when it ends. It prints one line for each task that failed. Standard input is a pipe
from the submitting process: when that process ends, the pipe closes, and the pool and its
workers exit.
"""

import argparse
import os
import sys
import threading
import time
from collections import Counter, deque
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from jobs.campaign import Campaign
from jobs.files import advice_on
from jobs.footprint import import_mb
from jobs.process import Process
from jobs.standings import DONE, LEFT
from jobs.taking import Taker
from jobs.taskfile import TaskPlace
from jobs.tasklog import without_time
from jobs.worker import NOT_KEPT_STATUS, execute_or_exit
from jobs.workload import Taken, Workload
from noisy.loading import loading

MAX_ATTEMPTS = 3  # of a task whose worker is killed
STOP_S = 5  # from asking a worker to end until it is killed
_LIFELINE = 0  # standard input
_CAN_FORK = sys.platform == "linux"  # some libraries of macOS do not survive a fork, so each worker is a new process there


def execute_all(work: Workload, workers: int) -> bool:
    """Execute what is left, at most `workers` tasks at a time, and print what failed. False if the submitter ended first.

    If a worker is killed (for example by the kernel, because memory ran out), another attempt of its task does what is missing.
    This process has one thread and computes nothing, because a fork does not copy threads but keeps their locks held.
    """
    again: deque[Taken] = deque()  # tasks whose worker was killed
    running: dict[BaseProcess, Taken] = {}
    n_killed: Counter[int] = Counter()
    try:
        while True:
            while len(running) < workers and (taken := again.popleft() if again else work.take()):
                running[_start(taken)] = taken
            if not running:
                return True
            if _LIFELINE in wait([_LIFELINE, *(worker.sentinel for worker in running)]) and not os.read(_LIFELINE, 1):
                return False
            for worker in [worker for worker in running if worker.exitcode is not None]:
                taken, status = running.pop(worker), worker.exitcode or 0
                task = taken.place.index
                n_killed[task] += status < 0
                if status < 0 and n_killed[task] < MAX_ATTEMPTS:
                    again.extend(filter(None, [work.claim(task, taken.generation + 1)]))
                    continue
                work.mark(taken, LEFT if status else DONE)
                if status:
                    log = _log(taken.place)
                    print(f"task {task} {_how(status)}: {last_line(log)} (log: {log})", flush=True)
    finally:
        _stop(list(running))


def last_line(log: Path) -> str:
    """The last line of a log, without its time."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError as error:
        return f"its log cannot be read ({error.strerror})"
    return without_time(lines[-1]) if lines else "it printed nothing"


def _how(status: int) -> str:
    if status < 0:
        return f"was killed by signal {-status} in {MAX_ATTEMPTS} attempts"
    if status == NOT_KEPT_STATUS:
        return "could not keep its results"
    return f"ended with status {status}"


def _log(task: TaskPlace) -> Path:
    return task.campaign.log(task.submission, task.index)


def _start(taken: Taken) -> BaseProcess:
    worker = get_context("fork").Process if _CAN_FORK else get_context("spawn").Process
    process = worker(target=_work, args=(taken.place, taken.generation))
    process.start()
    return process


def _work(task: TaskPlace, attempt: int) -> None:
    """The main function of a worker process. Exit status: as in jobs/worker.py; 1 if the task raises."""
    threading.Thread(target=_end_with_pool, daemon=True).start()
    try:
        log = os.open(_log(task), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError:
        sys.exit(NOT_KEPT_STATUS)
    os.dup2(log, 1)
    os.dup2(log, 2)
    execute_or_exit(task, attempt)


def _end_with_pool() -> None:
    """Exit when the pool ends for any reason. Each worker also holds the pipes of earlier ones, so the last one exits first."""
    if pool := parent_process():
        pool.join()
    os._exit(1)


def _stop(workers: list[BaseProcess]) -> None:
    for worker in workers:
        worker.terminate()
    deadline_s = time.monotonic() + STOP_S
    for worker in workers:
        worker.join(max(0.1, deadline_s - time.monotonic()))
        if worker.exitcode is None:
            worker.kill()
            worker.join()


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m jobs.pool", description="Execute the tasks of a submission here.")
    parser.add_argument("campaign_dir", type=Path)
    for name in ("submission", "workers"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    # Claims name the submitter. When it has ended, the pool ends too, and other workers may take the tasks.
    work = Workload(Campaign(arguments.campaign_dir), arguments.submission, Taker(), process=Process.parent())
    if _CAN_FORK:
        with loading():
            import noisy.training  # noqa: F401  # all workers share it

        import_mb()
    try:
        sys.exit(0 if execute_all(work, arguments.workers) else 1)
    except OSError as error:
        sys.exit(f"tasks cannot be taken: {error}; {advice_on(error)}")


if __name__ == "__main__":
    main()
