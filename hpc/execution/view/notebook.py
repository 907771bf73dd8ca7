"""A plan and a state as a notebook shows them; elsewhere they are the lines that the commands print."""

import html
import io
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from hpc.execution.summary import lines_of, notes, warnings
from hpc.execution.view.screen import lines_of as lines_of_screen
from hpc.execution.view.snapshot import Snapshot
from hpc.planning.decision import Decision
from hpc.state.runs import STATES

_SIZE = 90, 40  # columns and lines of the picture of a status


@dataclass(frozen=True)
class Planned:
    """What a submit would do.

    n_runs, n_tasks: to be submitted; decision: all of it, None if nothing is missing; lines: the same in words.
    """

    n_runs: int
    n_tasks: int
    decision: Decision | None = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


@dataclass(frozen=True)
class Status:
    """The state of a campaign at one moment. In a notebook it is shown as the live view draws it.

    seen: all that is shown.
    """

    seen: Snapshot = field(repr=False)

    @property
    def figures(self) -> dict[str, Any]:
        """What `noisy status --json` prints."""
        return dict(self.seen.shown)

    @property
    def counts(self) -> dict[str, int]:
        """How many runs are in each state in which there are some."""
        return {name: self.seen.shown[name] for name in STATES if self.seen.shown[name]}

    @property
    def is_done(self) -> bool:
        """Whether all runs are done."""
        return self.seen.shown["done"] == self.seen.shown["runs"]

    def __repr__(self) -> str:
        shown = self.seen.shown
        following = [f"Next: {self.seen.following}"] if self.seen.following else []
        return "\n".join([*lines_of(Path(self.seen.folder), shown), *notes(shown), *warnings(shown), *following])

    def _repr_html_(self) -> str:
        console = Console(record=True, file=io.StringIO(), width=_SIZE[0], force_jupyter=False)
        for is_blank, lines in itertools.groupby(lines_of_screen(self.seen, *_SIZE, ""), lambda line: not line.plain):
            console.print(*([""] if is_blank else lines), sep="\n")
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
