"""python -m benchmarks.watching [--runs 2400 100000]: CPU time of `noisy status --watch` on campaigns of so many invented runs.

60 % of the runs are done, and this process counts as the one that trains the others. Nothing is trained.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from hpc.planning.tasks import plan
from hpc.state.submissions import Submission, claim
from jobs.campaign import Campaign
from jobs.manifest import read_manifest
from jobs.taskfile import Task
from noisy.spec import Execution
from tests import synthetic
from tests.terminal import OnTerminal

_SECONDS = 60
_CELLS = 60  # of `synthetic.reliable`


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[2400, 100_000])
    for n_runs in parser.parse_args().runs:
        with tempfile.TemporaryDirectory() as folder:
            _watch(_made(Path(folder) / "campaign", -(-n_runs // _CELLS)))


def _made(folder: Path, repeats: int) -> Campaign:
    """A campaign with a submission that is at work."""
    made = synthetic.campaign(folder, synthetic.reliable(repeats), lambda i: i % repeats < 0.6 * repeats)
    manifest = read_manifest(made.manifest)
    planned = plan(manifest.runs, 80, Execution())
    submission = Submission.by_this_process(1, manifest.header.campaign, "local", planned)
    made.submissions.mkdir()
    tasks = enumerate(planned.tasks)
    claim(made, submission, [Task(i, manifest.header.campaign, "", "data", Execution(), task.runs) for i, task in tasks])
    return made


def _watch(campaign: Campaign) -> None:
    """Watch it for a minute, and print what that took."""
    terminal = OnTerminal("hpc.status", "--watch", "--output-dir", campaign.folder)
    terminal.until(lambda it: "stop nothing" in it.shown)
    began_s, before_s, n_before = time.monotonic(), _cpu_s(terminal.pid), len(terminal.screens)
    terminal.until(lambda _: time.monotonic() - began_s >= _SECONDS, 2 * _SECONDS)
    took_s, cpu_s, n_looks = time.monotonic() - began_s, _cpu_s(terminal.pid) - before_s, len(terminal.screens) - n_before
    n_runs = len(read_manifest(campaign.manifest).runs)
    size = len(terminal.shown) / len(terminal.screens)
    terminal.type("q")
    terminal.end()
    print(
        f"{n_runs:,} runs: start and first look {before_s:.2f} CPU s; then {cpu_s:.2f} CPU s"
        f" for {n_looks} looks in {took_s:.0f} s, {100 * cpu_s / took_s:.2f} % of a core; {size:,.0f} bytes a screen",
        flush=True,
    )


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
