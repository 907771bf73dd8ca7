"""python -m hpc.doctor: can this place run campaigns? What is here is looked at, line by line.

Exit status: 0 no problem, 1 problems, 2 the options are wrong. Without --names the text has no names of users, machines and
paths, so that it can be part of a bug report.
"""

import argparse
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from hpc.console import ALL_WELL, SOME_FAILED, Refused, count, exit_with
from hpc.execution.choice import EXECUTORS, best
from hpc.execution.site import NOTE, OK, PROBLEM, Check, Line, checks, looked
from hpc.execution.trial import trial
from hpc.request.prepare import check_folder

_PATH = re.compile(r"(?<![\w./`])/[\w.+@%:~-][^\s'\",;:()]*")


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m hpc.doctor", description="Can this place run campaigns?")
    add = parser.add_argument
    add("--executor", choices=("auto", *EXECUTORS), default="auto", help="auto: a scheduler where there is one, else local")
    add("--output-dir", type=Path, default=Path("results"), help="where results would be (default: ./results)")
    add("--run", action="store_true", help="also execute two tiny trainings, in a temporary folder there")
    add("--names", action="store_true", help="with the names of users, machines and paths")
    add("--json", action="store_true", help="the same for programs")
    own = {name: executor.add_site_options(add) for name, executor in EXECUTORS.items()}
    options = parser.parse_args(argv)
    exit_with(lambda: _look(options, own))


def _look(options: argparse.Namespace, own: dict[str, list[argparse.Action]]) -> int:
    """Print each line as soon as it is known; returns the exit status."""
    name = best() if options.executor == "auto" else options.executor
    for action in (action for other, actions in own.items() if other != name for action in actions):
        if getattr(options, action.dest) != action.default:
            raise Refused(f"{action.option_strings[0]}: this looks at --executor {name}, which has no such option")
    shown = list[Line]()
    for line in _lines(options, name):
        shown.append(line if options.names else without_names(line))
        if not options.json:
            print("\n".join(_text(shown[-1])), flush=True)
    n_of = Counter(line.mark for line in shown)
    if options.json:
        rows = [{key: value for key, value in asdict(line).items() if key != "names"} for line in shown]
        print(json.dumps({"executor": name, "problems": n_of[PROBLEM], "notes": n_of[NOTE], "lines": rows}, indent=1))
    else:
        hint = "" if options.run else "; --run tries two tiny trainings"
        print(f"{count(n_of[PROBLEM], 'problem')}, {count(n_of[NOTE], 'note')}, {n_of[OK]} ok (executor {name}){hint}")
    return SOME_FAILED if n_of[PROBLEM] else ALL_WELL


def _lines(options: argparse.Namespace, name: str) -> Iterator[Line]:
    executor, wanted = EXECUTORS[name], options.output_dir.absolute()
    folder = next(each for each in (wanted, *wanted.parents) if os.path.lexists(each))
    see = "choose another --output-dir, or see that you may write there"
    every = [Check("output_dir", lambda: _writable(wanted), see)]
    every += [*checks(folder, executor.is_asked), *executor.checks(options, folder)]
    if options.run:
        every.append(Check("trainings", lambda: trial(executor, options, folder), "mend the problems above first"))
    return looked(every)


def _writable(folder: Path) -> Iterator[Line]:
    check_folder(folder, is_written=True)
    yield Line(OK, "output_dir", "can be written")


def _text(line: Line) -> list[str]:
    return [f"{line.mark:9}{line.what:13}{line.found}", *([f"{'':22}-> {line.help}"] if line.help else [])]


def without_names(line: Line) -> Line:
    """The same without names of users, machines and paths."""
    return replace(line, found=_hidden(line.found, line.names), help=_hidden(line.help, line.names))


def _hidden(text: str, names: tuple[str, ...]) -> str:
    host, user = platform.node(), os.environ.get("USER") or Path.home().name
    known = {user: "USER", host: "HOST", host.split(".")[0]: "HOST"} | dict.fromkeys(names, "NODE")
    for name, instead in known.items():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text) if name else text
    return _PATH.sub("PATH", text)


if __name__ == "__main__":
    main()
