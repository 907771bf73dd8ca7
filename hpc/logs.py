"""python -m hpc.logs RUN_ID ... | --failed: what a run printed, and what is known of its end.

Exit status: 0; 2 the input is wrong; 3 Slurm cannot be reached.
"""

import argparse
import os
import sys
from pathlib import Path

from hpc import submissions
from hpc.selection import add_campaign_option, open_campaign
from hpc.state import State, state
from hpc.submissions import Submission
from jobs.campaign import Campaign
from jobs.manifest import Manifest, ManifestError
from jobs.taskfile import read_task_run_ids
from noisy.spec import spec_of

_TAIL_LINES = 30


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m hpc.logs", description="What runs printed, and how they ended.")
    parser.add_argument("run_id", nargs="*", help="run_ids, or their beginnings")
    parser.add_argument("--failed", action="store_true", help="all runs that failed or are lost")
    add_campaign_option(parser)
    options = parser.parse_args(argv)
    if bool(options.run_id) == options.failed:
        parser.error("either run_ids or --failed")
    try:
        campaign, manifest = open_campaign(options.output_dir)
        found = state(campaign, manifest.header.campaign, manifest.runs)
        run_ids = _failed(found) if options.failed else [_whole(text, manifest) for text in options.run_id]
        if not run_ids:
            print("No run has failed.")
        for run_id in run_ids:
            _show(run_id, campaign, manifest, found)
        sys.exit(3 if found.unreachable else 0)
    except ManifestError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has gone: nobody is left to be told
        os._exit(1)


def _failed(found: State) -> list[str]:
    return [run_id for run_id, its_state in found.runs.items() if its_state in ("failed", "lost")]


def _whole(text: str, manifest: Manifest) -> str:
    matches = [run_id for run_id in manifest.runs if run_id.startswith(text)]
    if len(matches) != 1:
        raise ManifestError(f"run_id: {text!r} fits {len(matches)} runs of the campaign; results_per_run.csv lists them")
    return matches[0]


def _show(run_id: str, campaign: Campaign, manifest: Manifest, found: State) -> None:
    run = spec_of(manifest.runs[run_id])
    print(f"== {run_id} {run.model_type} {run.activation} p={run.p:g} repeat {run.repeat}: {found.runs[run_id]}")
    for outcome in found.outcomes:
        if outcome.run_id == run_id:
            asked = f"asked for {outcome.mem_mb} MB, {outcome.time_limit_min} min"
            print(f"   Slurm job {outcome.job} on {outcome.node or 'no node'}: {outcome.state} ({asked})")
    for message in found.recorded.failures.get(run_id, []):
        print(f"   {message}")
    for submission in submissions.read_all(campaign):
        for task, run_ids in enumerate(read_task_run_ids(campaign.tasks(submission.number))):
            if run_id in run_ids:
                _show_log(log_path(campaign, submission, task), run_id)


def log_path(campaign: Campaign, submission: Submission, task: int) -> Path:
    """Where a task's output is: its own file (local), or that of its array element (submitit's naming)."""
    for array in submission.arrays:
        if array.first_task <= task < array.first_task + array.n_tasks:
            index = f"_{task - array.first_task}" if array.n_tasks > 1 else ""
            return campaign.submission(submission.number) / "logs" / f"{array.job_id}{index}_0_log.out"
    return campaign.log(submission.number, task)


def _show_log(path: Path, run_id: str) -> None:
    """The part of a log that is about one run: what was printed since the run before it ended."""
    print(f"-- {path}")
    if not path.exists():
        print("   (no output yet)")
        return
    lines = path.read_text(errors="replace").splitlines()
    ends = [i for i, line in enumerate(lines) if "/" in line.split(" ")[0] and line.split("/")[0].isdecimal()]
    its_ends = [i for i in ends if run_id in lines[i]]
    if not its_ends:
        print("\n".join(f"   {line}" for line in lines[-_TAIL_LINES:]))
    for end in its_ends:
        begin = max((i + 1 for i in ends if i < end), default=0)
        print("\n".join(f"   {line}" for line in lines[begin : end + 1]))


if __name__ == "__main__":
    main()
