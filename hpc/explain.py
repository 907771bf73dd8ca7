"""noisy explain RUN_ID: everything that is known about one run, on one page.

Exit status: 0 shown; 1 a file of the campaign cannot be read; 2 the input is wrong; 3 the scheduler cannot be reached.
"""

import argparse
import textwrap
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np

from hpc.console import ALL_WELL, NO_SCHEDULER, SOME_FAILED, count, exit_with, open_campaign, warn_of_problems
from hpc.execution.choice import EXECUTORS
from hpc.execution.evidence import Evidence, job_ended, log_parts, logs_of, place_of, why
from hpc.execution.next import about_grid, report_command, submit_command
from hpc.planning.retrying import MAX_TRIES
from hpc.state.known import Submitted
from hpc.state.runs import State, state
from jobs.campaign import Campaign
from jobs.columns import planned_columns
from jobs.commandline import Parser
from jobs.recorded import Recorded
from jobs.typed import quoted, typed

_LOG_LINES = 10  # lines of each log
_WIDTH = 88  # of long texts, in characters
_MACHINE = (("device", "cpu", "cpu_threads", "runs_together"), ("versions",), ("code_commit",))  # a line each
_MEASURED = ("test_accuracy", "test_loss", "n_correct", "n_test")


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("explain", "Show everything that is known about one run.")
    parser.add_campaign(("RUN_ID",))
    options = parser.parse_args(argv)
    if len(options.run_id) != 1:
        parser.error("one run_id is needed, or its beginning")
    exit_with(lambda: _explain(options))


def _explain(options: argparse.Namespace) -> int:
    campaign, manifest = open_campaign(options.output_dir)
    place = place_of(options.run_id[0], manifest.runs)
    found = state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS)
    print("\n".join(page(campaign, found, place, time.time())))
    warn_of_problems(found)
    if found.unreachable:
        return NO_SCHEDULER
    return SOME_FAILED if found.problems else ALL_WELL


def page(campaign: Campaign, found: State, place: int, now_s: float) -> Iterator[str]:
    """The lines of the page about the run at `place`. now_s: the time in seconds since the epoch."""
    run, only = found.runs.at(place), np.array([place])
    run_id = found.runs.run_id[place]
    reason = why(found, only, now_s)[0]
    yield _line("run", f"{run.run_id}  {run.label}")
    yield _line("campaign", str(campaign.folder))
    yield _line("state", found.of(place) + (f"; {reason}" if reason else ""))
    columns = planned_columns(found.runs.take(only))
    values = ((name, column.at(np.array([0]))[0]) for name, column in columns.items() if name != "run_id")
    yield from _lines("spec", " ".join(f"{name}={'' if value is None else value}" for name, value in values))
    for each in found.known.submitted:
        for task in each.tasks.task[each.tasks.run_id == run_id].tolist():
            created_s = datetime.fromisoformat(each.submission.created).timestamp()
            where = f"submission {each.submission.number:04d} ({_time(created_s)}), task {task}"
            yield _line("submitted", where + (", cancelled there" if run.run_id in each.cancelled else ""))
    places = np.flatnonzero(found.recorded.records["run_id"] == run_id).tolist()
    for record in places:
        yield from _record(found, record)
    evidence = Evidence.of(found, only)
    for source in evidence.training.get(run_id, []):
        attempt, host = (source.attributes.get(name, "") for name in ("attempt", "host"))
        yield _line("begun", f"attempt {attempt} of task {source.task[1]}, submission {source.task[0]:04d}, on {host}")
    for outcome in evidence.outcomes.get(run_id, []):
        yield _line("ended", job_ended(outcome))
    yield from _duplicates(found.recorded, places)
    for path in logs_of(campaign, found, found.runs.run_id[only]).get(run_id, []):
        yield _line("log", str(path))
        lines = [line for part in log_parts(path, run.run_id) for line in part]
        yield from (f"            {line}" for line in lines[-_LOG_LINES:])
    yield _line("next", _next(campaign, found, place))


def _record(found: State, record: int) -> Iterator[str]:
    """What one record says, where it was made, and what it cost."""
    source = found.recorded.sources[int(found.recorded.source[record])]
    row, status = found.recorded.records[record], found.recorded.records["status"][record].decode()
    counts = "; this record counts" if record in found.recorded.counting else ""
    if status == "failed":
        yield _line("record", f"failed: {found.recorded.message(record)}{counts}")
    else:
        accuracy = f"test accuracy {row['test_accuracy']:.4f} ({row['n_correct']} of {row['n_test']})"
        yield _line("record", f"{status}: {accuracy}, test loss {row['test_loss']:.4g} nat{counts}")
    number, task = source.task
    job = str(source.attributes.get("job", ""))
    host = source.attributes.get("host", "an unknown node")
    where = f"attempt {source.attributes.get('attempt')} of task {task}, submission {number:04d}{f', job {job}' if job else ''}"
    yield _line("", f"{where}, on {host}, finished {_time(float(row['finished_at_s']))}")
    if status != "failed":
        used = f"{row['cpu_s']:.1f} CPU s, {row['wall_s']:.1f} s, at most {row['peak_mem_mb']:.0f} MB"
        yield _line("", used + _asked(found, number, job))
    for names in _MACHINE:
        if known := [f"{name} {source.attributes[name]}" for name in names if source.attributes.get(name)]:
            yield _line("", ", ".join(known))
    yield _line("", f"shards/{source.name}")


def _asked(found: State, number: int, job: str) -> str:
    """What the worker had asked for, if known."""
    submitted: Submitted | None = next((each for each in found.known.submitted if each.submission.number == number), None)
    array = submitted.submission.array_with(job) if submitted and job else None
    return f"; the worker asked for {array.resources.mem_mb:.0f} MB, {array.resources.time_limit_min:.0f} min" if array else ""


def _duplicates(recorded: Recorded, places: list[int]) -> Iterator[str]:
    """A line on whether several finished records of the run are equal."""
    finished = [place for place in places if recorded.is_finished[place]]
    if len(finished) > 1:
        kinds = {repr(recorded.records[list(_MEASURED)][place].item()) for place in finished}
        same = "with equal numbers" if len(kinds) == 1 else f"that differ; {typed('report')} tells whether they may"
        yield _line("duplicates", f"{count(len(finished), 'finished record')} {same}; the first counts")


def _next(campaign: Campaign, found: State, place: int) -> str:
    name = found.of(place)
    if name == "done":
        return report_command(campaign)
    if name in ("running", "queued", "unknown"):
        return f"{typed('status')} {'' if name == 'unknown' else '--watch '}--output-dir {quoted(campaign.folder)}"
    retry = " --retry-failed" if found.is_given_up[place] else ""
    note = f" (it failed {MAX_TRIES} times: see the log first)" if retry else ""
    return submit_command(campaign, found) + retry + about_grid(campaign) + note


def _line(what: str, text: str) -> str:
    return f"{what:12}{text}"


def _lines(what: str, text: str) -> Iterator[str]:
    """A long text on several lines; no word is divided."""
    for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield _line(what, line)
        what = ""


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")


if __name__ == "__main__":
    main()
