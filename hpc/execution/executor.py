"""What an executor is: it plans for one place, executes tasks there or submits them, and knows which are at work."""

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
from jobs.adopted import Results
from jobs.campaign import Campaign
from jobs.provenance import machine
from noisy.runs import Runs
from noisy.spec import Execution


@dataclass(frozen=True)
class Redo:
    """What makes a request one to train runs again. asked: in words; number: of its first submission, 0 before there is one."""

    asked: str
    number: int = 0


@dataclass(frozen=True)
class Request:
    """What a command line asks for: a grid, the folders of its campaign and its data, and which of its runs to submit.

    limit: the largest number of runs; abandoned: submissions to be treated as ended; options: those of the executor; command:
    the command line, quoted for a shell; knowledge: what is known about costs; calibrate_with: the grid file, if unknown costs
    are to be measured first (else None); deadline: when everything has to be done; taken_over: records with which the
    campaign starts; redo: if the runs are done and are to be trained again.
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
    taken_over: Results | None = None
    redo: Redo | None = None


class Executor(Scheduler):
    """What executes tasks: this machine or a scheduler. It is also a `Scheduler` (hpc/state/scheduler.py).

    name: as in submission.json; where: the last words of the plan's line about tasks; is_asked: whether it has to answer before
    anything can be submitted.
    """

    name: str
    where: str
    is_asked: bool

    def add_site_options(self, add: Callable[..., argparse.Action]) -> list[argparse.Action]:
        """Add the options of `add_options` that hpc.doctor has too. Returns them."""
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
        """Where runs are executed, as far as known. By default: on machines of any kind, with the torch installed here."""
        return Setting(torch_of(machine()["versions"]), execution.cpu_threads)

    @abstractmethod
    def decide(self, request: Request, runs: Runs, found: State) -> Decision:
        """What to submit of these runs now."""

    def checks(self, given: argparse.Namespace, folder: Path) -> list[Check]:
        """Checks of the place where tasks would be executed. given: of `add_site_options`; folder: that of the results."""
        return []

    def beginning_with(self, given: argparse.Namespace, command: str) -> argparse.Namespace:
        """The options, changed so that each task first executes a shell command, if tasks have a shell."""
        return given

    def is_rehearsal(self, options: argparse.Namespace) -> bool:
        """Whether the user asks only for `rehearse`, not for a submission."""
        return False

    def rehearse(self, request: Request, decision: Decision) -> int:
        """Print what would happen. Returns the exit status."""
        return ALL_WELL

    @abstractmethod
    def execute(self, request: Request, submission: Submission, decision: Decision) -> int:
        """Execute a submission, or submit it to a scheduler. Returns the exit status."""

    def pause_s(self, request: Request, decision: Decision) -> float | None:
        """Print what is held back. Returns the seconds until the next try, or None if only a later command submits it."""
        return None

    def join(self, request: Request) -> int:
        """Help with a submission that is at work elsewhere. Returns the exit status.

        Raises:
            Refused: this is not possible, as by default.
        """
        raise Refused(f"--join: not possible {self.where}")

    def cancel(self, jobs: Sequence[str]) -> None:
        """Cancel workers by their jobs' names. By default, workers have no jobs."""
        assert not jobs, jobs

    @abstractmethod
    def log_of(self, campaign: Campaign, submission: Submission, task: int, job: str = "") -> Path:
        """The log of a task, as executed by `job` (empty for a process without a job)."""
