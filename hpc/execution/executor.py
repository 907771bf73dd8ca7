"""What an executor is: who plans for a place, executes or hands over, and knows what is at work there."""

import argparse
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.console import ALL_WELL, Refused
from hpc.execution.site import Check
from hpc.planning.decision import Decision
from hpc.planning.model import PUBLISHED, Knowledge, Setting
from hpc.request.deadline import Deadline
from hpc.request.grid import Grid
from hpc.state.measured import torch_of
from hpc.state.runs import State
from hpc.state.scheduler import Scheduler
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.provenance import machine
from noisy.runs import Runs
from noisy.spec import Execution


@dataclass(frozen=True)
class Request:
    """What a command line asks for: a grid, where its campaign and its data are, and what to submit of it.

    limit: at most so many runs; abandoned: submissions to be treated as ended; options: the executor's own; command: the
    command line, as a shell reads it; knowledge: what is known of costs; calibrate_with: the file of the grid, with which
    unknown costs are measured first (None: they are not); deadline: by when all has to be done.
    """

    grid: Grid
    campaign: Campaign
    data_dir: Path
    runs: Runs
    options: argparse.Namespace
    abandoned: tuple[int, ...] = ()
    limit: int | None = None
    retry_failed: bool = False
    dry_run: bool = False
    yes: bool = False
    command: str = ""
    knowledge: Knowledge = PUBLISHED
    calibrate_with: Path | None = None
    deadline: Deadline | None = None


class Executor(Scheduler):
    """Who executes tasks: this machine, or a scheduler. It is also a `Scheduler` (hpc/state/scheduler.py).

    name: in submission.json; where: words that end a line of the plan; is_asked: whether nothing can be submitted while it does
    not answer.
    """

    name: str
    where: str
    is_asked: bool

    def add_site_options(self, add: Callable[..., argparse.Action]) -> list[argparse.Action]:
        """Those of `add_options` that hpc.doctor has too."""
        return []

    def add_options(self, add: Callable[..., argparse.Action]) -> list[argparse.Action]:
        """Add the command line options that only this executor has, with a parser's `add_argument`. Returns them."""
        return []

    @abstractmethod
    def check(self, request: Request) -> None:
        """Refuse what cannot be executed here, and finish what an earlier submit left unfinished.

        Raises:
            Refused, SchedulerError: it cannot be executed.
        """

    def setting(self, execution: Execution) -> Setting:
        """Where runs are executed, as far as this is known. By default: on machines of any kind, with the torch of here."""
        return Setting(torch_of(machine()["versions"]), execution.cpu_threads)

    @abstractmethod
    def decide(self, request: Request, runs: Runs, found: State) -> Decision:
        """What to submit of these runs now."""

    def checks(self, given: argparse.Namespace, folder: Path) -> list[Check]:
        """What to look at of the place where tasks would be executed. given: `add_site_options`; folder: of the results."""
        return []

    def beginning_with(self, given: argparse.Namespace, command: str) -> argparse.Namespace:
        """Options with which each task first executes a command of the shell, if tasks have a shell."""
        return given

    def is_rehearsal(self, options: argparse.Namespace) -> bool:
        """Whether only `rehearse` is asked for, and no submission."""
        return False

    def rehearse(self, request: Request, decision: Decision) -> int:
        """Say what would happen; returns the exit status."""
        return ALL_WELL

    @abstractmethod
    def execute(self, request: Request, submission: Submission, decision: Decision) -> int:
        """Execute a submission or hand it over; returns the exit status."""

    def pause_s(self, request: Request, decision: Decision) -> float | None:
        """Say what is held back. Returns the seconds until the next look, or None: a later command goes on."""
        return None

    def join(self, request: Request) -> int:
        """Help with a submission that is at work elsewhere; returns the exit status.

        Raises:
            Refused: this is not possible; by default, it never is.
        """
        raise Refused(f"--join: not possible {self.where}")

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel workers by their jobs' names. By default, workers have no jobs."""
        assert not jobs, jobs

    @abstractmethod
    def log_of(self, campaign: Campaign, submission: Submission, task: int, job: str = "") -> Path:
        """Where the output of a task is that a job executed. job: empty for one executed without a job."""
