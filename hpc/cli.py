"""noisy COMMAND ...: one command for a whole campaign. It calls the module of the sub-command, which can also be called alone.

A module is imported only when its sub-command is called. `noisy --completion SHELL` prints what makes a shell complete
sub-commands, options, filters and run_ids: in bash, `eval "$(noisy --completion bash)"`.

The exit status is that of the sub-command, or 2 if there is no such sub-command.
"""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from jobs.printing import NotPrinted, printing


class Command(NamedTuple):
    """A sub-command. module: its module, whose `main(argv)` ends the process; examples: the arguments of two calls."""

    module: str
    summary: str
    examples: tuple[str, str]


COMMANDS = {
    "init": Command("hpc.init", "write a grid with comments, to be changed", ("", "my_grid.yaml")),
    "submit": Command(
        "hpc.submit",
        "plan the missing runs of a grid, show their cost, train them",
        ("--grid grid.yaml --dry-run", "--grid grid.yaml --deadline 2h"),
    ),
    "status": Command(
        "hpc.status", "what is done, running or failed; when it ends", ("--watch", "results/reliable p=0.9 --cells")
    ),
    "runs": Command("hpc.runs", "the runs as a table", ("p=0.9 status!=ok", "model_type=cnn --by test_accuracy --csv")),
    "explain": Command("hpc.explain", "all that is known of one run", ("3f2a91c0", "results/reliable 3f2a91c0")),
    "logs": Command("hpc.logs", "what runs printed, and how they ended", ("--failed", "3f2a91c0")),
    "cancel": Command("hpc.cancel", "cancel runs that are queued or running", ("p=0.9", "model_type=cnn 'repeat>=20' --yes")),
    "redo": Command("hpc.redo", "train again what is done, and compare", ("--sample 20", "activation=tanh --replace")),
    "calibrate": Command("hpc.calibrate", "measure what runs cost", ("--grid grid.yaml", "--grid grid.yaml --show")),
    "doctor": Command("hpc.doctor", "check whether campaigns can run here", ("--run", "--executor local --json")),
    "report": Command(
        "analysis.report", "make the CSV files, figures and report.html", ("", "results/reliable model_type=cnn --to cnn_only")
    ),
    "compare": Command(
        "analysis.compare", "do two campaigns agree?", ("results/a results/b", "old.csv results/b --to compared")
    ),
    "archive": Command(
        "analysis.archive", "pack a campaign into one file, or check one", ("results/reliable", "--check reliable.tar.gz")
    ),
    "merge": Command(
        "analysis.merged",
        "make one campaign of several",
        ("results/a results/b --into results/both", "a.tar.gz results/b --into results/both"),
    ),
}
_SHELLS = ("bash", "zsh", "fish")
_CAMPAIGN = """\
A whole campaign:
  noisy submit --grid grid.yaml --dry-run   show runs, cost and end
  noisy submit --grid grid.yaml             train what is missing
  noisy status --watch                      see how far it is
  noisy report                              make the CSV files and figures"""


def main(argv: list[str] | None = None) -> NoReturn:
    """The command line above."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    if name in ("-h", "--help"):
        _print(usage())
    if name == "--completion":
        _print_completion(rest)
    if name not in COMMANDS:
        _refuse(f"no command {name!r}", name, COMMANDS)
    try:
        importlib.import_module(COMMANDS[name].module).main(rest)
    except SystemExit as ended:
        if not ended.code and {"-h", "--help"} & set(rest):
            _print("\n".join(["\nexamples:", *(f"  noisy {name} {each}".rstrip() for each in COMMANDS[name].examples)]))
        raise
    raise AssertionError(f"{name}: no exit status")


def usage() -> str:
    """What `noisy --help` prints: at most 24 lines of at most 80 characters."""
    listed = (f"  {name:11}{command.summary}" for name, command in COMMANDS.items())
    return "\n".join(["usage: noisy COMMAND ...      (noisy COMMAND --help: its options)", "", _CAMPAIGN, "", *listed])


def _complete() -> NoReturn:
    """Answer a shell that asks what may follow what was typed."""
    import argcomplete

    *_, words, _ = argcomplete.lexers.split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))
    if len(words) > 1 and words[1] in COMMANDS:
        os.environ["_ARGCOMPLETE"] = "2"  # the words of the command that are not the sub-command's
        importlib.import_module(COMMANDS[words[1]].module).main(["--help"])  # its parser answers instead
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--completion", choices=_SHELLS)
    argcomplete.autocomplete(parser)
    sys.exit(0)


def _print_completion(shells: list[str]) -> NoReturn:
    if len(shells) != 1 or shells[0] not in _SHELLS:
        _refuse("--completion needs the name of one shell", "".join(shells[:1]), _SHELLS)
    import argcomplete

    _print(argcomplete.shellcode(["noisy"], shell=shells[0]))


def _print(text: str) -> NoReturn:
    """Print a text and end."""
    try:
        with printing():
            print(text)
    except BrokenPipeError:  # stdout was closed (for example by `head`)
        os._exit(1)
    except NotPrinted as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def _refuse(what: str, given: str, allowed: Iterable[str]) -> NoReturn:
    near = difflib.get_close_matches(given, allowed, n=1)
    meant = f" (meant: {near[0]}?)" if near else ""
    print(f"error: {ascii(what)[1:-1]}{meant}; allowed: {', '.join(allowed)}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
