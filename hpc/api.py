"""The Python interface: a campaign as one object, for notebooks and scripts. `docs/python.md` shows all of it.

Its methods are what the commands call. It is the only part of `hpc` that also shows results, and loads `analysis` for it.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from hpc import submit as command
from hpc.console import Refused
from hpc.execution.choice import EXECUTORS
from hpc.execution.next import submit_command
from hpc.execution.overview import lines_of as lines_of_plan
from hpc.execution.submitting import look
from hpc.execution.view.notebook import Planned, Status
from hpc.execution.view.watching import Watcher
from hpc.state.scheduler import SchedulerError
from jobs.campaign import Campaign as Files
from jobs.commandline import Parser
from jobs.manifest import ManifestError
from jobs.printing import count
from jobs.typed import typed
from noisy.spec import named

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from analysis.asked import Report
    from analysis.figures.sheets import Sheet

__all__ = ["Campaign", "ManifestError", "Planned", "Refused", "SchedulerError", "Status"]


class Campaign:
    """One campaign.

    Args:
        folder: where its files are. It need not exist before `submit`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._files = Files(self.folder)
        self._grid: Path | None = None
        self._report: Report | None = None

    def __repr__(self) -> str:
        return f"hpc.Campaign({str(self.folder)!r})"

    def plan(self, grid: str | Path | None = None, **options: Any) -> Planned:
        """What `submit` would do, and what it would cost. Nothing is written.

        Args:
            grid: a grid file; by default the last one that was planned, else the campaign's own.
            options: those of `noisy submit`, such as `limit=10`, `executor="local"`, `deadline="2h"`.

        Raises:
            Refused: the grid or an option is wrong. The message names every problem.
            SchedulerError: a scheduler cannot be asked.
        """
        request, executor = self._request(grid, {**options, "dry_run": True})
        with _told():
            executor.check(request)
            _, found, decision, costs = look(request, executor, EXECUTORS)
        if decision is None:
            done = f"{found.count('done')} of {count(len(found.runs), 'run')} done"
            return Planned(0, 0, None, (f"campaign   {self.folder}", f"Nothing to submit: {done}."))
        lines = lines_of_plan(decision, found, request, executor.where, costs)
        return Planned(decision.whole.n_runs, len(decision.whole.tasks), decision, tuple(lines))

    def submit(self, grid: str | Path | None = None, **options: Any) -> Status:
        """Train what is missing: on this machine, which takes until it is done, or by a scheduler, which takes a moment.

        Args:
            grid, options: as for `plan`. `yes=True` also does what the command would ask about.

        Raises:
            Refused: the grid or an option is wrong, or a question would be asked. Nothing was submitted.
            SchedulerError: a scheduler cannot be asked.
        """
        request, executor = self._request(grid, options)
        with _told():
            command.carry_out(request, executor)
        return self.status()

    def status(self) -> Status:
        """What is done, what is not, when it ends, and what to do next.

        Raises:
            ManifestError: there is no campaign, or its files cannot be read.
        """
        return Status(Watcher(self._files, EXECUTORS).look())

    def runs(self, *filters: str, all: bool = False) -> "DataFrame":
        """A row for each finished run, with the columns of results_per_run.csv, in the order of the manifest.

        Args:
            filters: which runs, by these columns: `"p=0.9 activation=tanh"`.
            all: also failed runs, and those without a result yet, whose status is `missing`.

        Raises:
            Refused: no run fits. The message says which values there are.
            ManifestError: there is no campaign, or its files cannot be read.
        """
        with _asked() as asked:
            return asked.runs(self._files, filters, all)

    def correct(self, *filters: str) -> np.ndarray:
        """bool (runs, test images): whether each test image was right, for the rows of `runs(*filters)`, in their order.

        Raises:
            Refused, ManifestError: as `runs`.
        """
        with _asked() as asked:
            return asked.correct(self._files, filters)

    def summary(self) -> "DataFrame":
        """A row for each cell, with the columns of results_summary.csv, in the order of the grid.

        Raises:
            ManifestError: there is no campaign, or its files cannot be read.
        """
        return self._now().summary

    def sheets(self) -> "dict[str, Sheet]":
        """The report's figures by name: each with `caption`, `table` (its numbers) and `draw()`."""
        return self._now().sheets

    def figure(self, name: str, style: str = "paper") -> "Figure":
        """A figure of the report, as it is now.

        Args:
            name: `accuracy_mlp`, for example; `accuracy` will do if only one begins like this.
            style: `paper`, or `slides` with larger letters.

        Raises:
            Refused: there is no such figure, or several. The message says which there are.
        """
        with _asked() as asked:
            return asked.figure(self.sheets(), name, style)

    def _now(self) -> "Report":
        """The report of what is done now. It is kept until something changes."""
        with _asked() as asked:
            if self._report is None or self._report.version != asked.version_of_campaign(self._files):
                self._report = asked.report_of(self._files)
        return self._report

    def _request(self, grid: str | Path | None, options: dict[str, Any]) -> Any:
        """What `noisy submit` would be asked for with these options, and of whom."""
        parser = _Options("submit", "")
        own_options = command.add_options(parser)
        arguments = [*self._places(grid), *_arguments(options)]
        line = f"{typed('submit')} {shlex.join(arguments)}"
        with _told():
            return command.request_of(parser.parse_args(arguments), own_options, line)

    def _places(self, grid: str | Path | None) -> list[str]:
        """The arguments that say which grid, and which campaign."""
        self._grid = Path(grid) if grid is not None else self._grid
        if self._grid:
            return ["--grid", str(self._grid), "--output-dir", str(self.folder)]
        watcher = Watcher(self._files, EXECUTORS)
        watcher.look()
        words = shlex.split(submit_command(self._files, watcher.found))
        return words[words.index("--grid") :]


class _Options(Parser):
    def error(self, message: str) -> NoReturn:
        """Raise what a command would print."""
        raise Refused(named(message))


def _arguments(options: dict[str, Any]) -> Iterator[str]:
    """`limit=3, yes=True` as `--limit 3 --yes`; a list gives an option several times."""
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None and each is not False:
                yield option if each is True else f"{option}={each}"


@contextmanager
def _told() -> Iterator[None]:
    """Refusals with all of their details in the message."""
    try:
        yield
    except Refused as error:
        raise Refused("\n  ".join([str(error), *error.details])) from None


@contextmanager
def _asked() -> Iterator[ModuleType]:
    """The module that reads results. It loads pandas and matplotlib, which all else here does without."""
    from analysis import asked

    try:
        yield asked
    except (asked.NoSuchThing, asked.Refused) as error:
        raise Refused(str(error)) from None
