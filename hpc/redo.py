"""noisy redo [p=0.9 ...] [--sample N]: train again what is done, and compare.

Nothing that is done is lost or replaced, unless --replace asks for it. The same command again goes on with what is missing, and
gives the answer. Exit status: 0 all agree; 1 some differ, failed, or cannot be judged; otherwise as of hpc.submit.
"""

import argparse
import os
import secrets
import shlex
import sys
from pathlib import Path

from hpc.console import (
    ALL_WELL,
    SOME_FAILED,
    Refused,
    count,
    exit_with,
    open_campaign,
    positive,
    warn_of_problems,
)
from hpc.execution.choice import EXECUTORS, SECTIONS, add_own_options, best, refuse_others
from hpc.execution.executor import Redo, Request
from hpc.execution.interrupts import end_on_signals
from hpc.execution.next import data_dir_of
from hpc.execution.redoing import Asked, answer, wanted
from hpc.execution.submitting import submit
from hpc.request.grid import Grid, load_grid
from hpc.request.yaml_file import GridError
from hpc.state.chosen import OFFERED, chosen
from hpc.state.runs import State, state, state_of_redo
from jobs.campaign import Campaign
from jobs.commandline import Parser
from jobs.manifest import Manifest, ManifestError
from jobs.typed import typed


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("redo", "Train again what is done, and compare.")
    parser.add_campaign(columns=OFFERED)
    add = parser.add_argument
    add("--sample", type=positive, metavar="N", help="so many of them, drawn at random")
    add("--seed", type=positive, metavar="N", help="of the sample (default: that of the last such sample, or a new one)")
    add("--replace", action="store_true", help="the new records count; the earlier ones are kept in the folder `replaced`")
    add("--again", action="store_true", help="once more, though the same was done before; a sample is drawn anew")
    add("--data-dir", type=Path, help="instead of the last submission's")
    add("--executor", choices=("auto", *EXECUTORS), default="auto", help="auto: a scheduler if there is one, else local")
    add("--dry-run", action="store_true", help="print what would be trained; write nothing")
    add("--retry-failed", action="store_true", help="also what failed three times")
    add("--abandon", type=positive, action="append", default=[], metavar="NUMBER", help="treat this submission as ended")
    add("--yes", action="store_true", help="do not ask")
    own_options = add_own_options(parser)
    options = parser.parse_args(argv)
    if options.replace and options.sample:
        parser.error("--replace: not with --sample, since records of a cell would then be of two kinds")
    if options.seed is not None and not options.sample:
        parser.error("--seed: only with --sample")
    if options.join:
        parser.error("--join: only of noisy submit, which helps with the submission of a redo too")
    words = sys.argv[1:] if argv is None else argv
    command = f"{typed('redo')} {shlex.join(word for word in words if not (options.again and _is_again(word)))}"
    end_on_signals()
    exit_with(
        lambda: _redo(options, own_options, command),
        on_silence=f"; the same command{_without(options)} goes on; --executor local runs it here",
        on_interrupt=f"\nInterrupted. What is done is kept. To go on: {command}",
    )


def _is_again(word: str) -> bool:
    """Whether a word is --again, which argparse takes shortened, too. The command that goes on has to be without it."""
    return word.startswith("--ag") and "--again".startswith(word)


def _redo(options: argparse.Namespace, own_options: dict[str, list[argparse.Action]], command: str) -> int:
    name = best() if options.executor == "auto" else options.executor
    refuse_others(options, name, own_options)
    campaign, manifest = open_campaign(options.output_dir)
    executor, found = EXECUTORS[name], _state(campaign, manifest, options)
    warn_of_problems(found)
    asked = Asked(tuple(sorted({*options.filter})), options.sample, options.seed, options.replace)
    redo = _last(asked, found, options.again)
    runs = manifest.runs.take(wanted(found, chosen(found, options.filter), asked, redo))
    if not len(runs):
        print(f"Nothing to train again: none of these runs is done ({found.count('done'):,} of the campaign's runs are).")
        return SOME_FAILED
    if len(state_of_redo(found, redo.number, runs).to_submit(options.retry_failed)):
        data_dir = Path(options.data_dir or os.environ.get("NOISY_DATA_DIR") or _last_data_dir(campaign, found)).resolve()
        request = Request(
            _grid(campaign, data_dir),
            campaign,
            data_dir,
            runs,
            options,
            tuple(options.abandon),
            retry_failed=options.retry_failed,
            dry_run=options.dry_run,
            yes=options.yes,
            command=command,
            redo=redo,
        )
        status = submit(request, executor, EXECUTORS)
        if executor.is_asked and status == ALL_WELL and not (options.dry_run or executor.is_rehearsal(options)):
            print(f"When it has ended, the same command{_without(options)} gives the answer.")
        if executor.is_asked or options.dry_run or status not in (ALL_WELL, SOME_FAILED):
            return status
        found = _state(campaign, manifest, options)
        redo = _last(asked, found)
    return answer(campaign, found, runs, redo, options.replace, f"The same command{_without(options)}")


def _without(options: argparse.Namespace) -> str:
    return " without --again" if options.again else ""


def _state(campaign: Campaign, manifest: Manifest, options: argparse.Namespace) -> State:
    return state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS, options.abandon)


def _last(asked: Asked, found: State, is_new: bool = False) -> Redo:
    return asked.redo((each.submission for each in found.known.submitted), 1 + secrets.randbelow(10**6), is_new)


def _grid(campaign: Campaign, data_dir: Path) -> Grid:
    """The campaign's grid, which names the campaign's own copies of the user's files."""
    try:
        return load_grid(campaign.grid, SECTIONS, data_dir)
    except GridError as error:
        raise Refused(f"{campaign.grid}: {count(len(error.problems), 'problem')}", error.problems) from error


def _last_data_dir(campaign: Campaign, found: State) -> Path:
    try:
        return data_dir_of(campaign, found)
    except (ManifestError, IndexError) as error:
        raise Refused("the folder of the data sets is not known, since no submission can be read; add --data-dir") from error


if __name__ == "__main__":
    main()
