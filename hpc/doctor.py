"""noisy doctor: check whether this machine or cluster can run campaigns. Each check prints a line.

Exit status: 0 no problem, 1 problems, 2 the options are wrong. Without --names the text has no names of users, machines and
paths, so that you can put it into a bug report.
"""

import argparse
import contextlib
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from hpc.console import ALL_WELL, SOME_FAILED, Refused, count, exit_with
from hpc.execution.choice import EXECUTORS, best
from hpc.execution.site import NOTE, OK, PROBLEM, Check, Line, checks, looked
from hpc.execution.trial import trial
from hpc.request.prepare import check_folder
from jobs.commandline import Parser
from jobs.provenance import PROJECT_ROOT

_PATH = re.compile(r"(?<![\w./`])/[\w.+@%:~-][^\s'\",;:()]*")


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("doctor", "Check whether campaigns can run here.")
    add = parser.add_argument
    add("--executor", choices=("auto", *EXECUTORS), default="auto", help="auto: a scheduler if there is one, else local")
    add("--output-dir", type=Path, default=Path("results"), help="the folder in which results would be (default: ./results)")
    add("--run", action="store_true", help="also execute two tiny trainings, in a temporary folder inside it")
    add("--names", action="store_true", help="show the names of users, machines and paths")
    add("--json", action="store_true", help="print JSON, for programs")
    own = {name: executor.add_site_options(add) for name, executor in EXECUTORS.items()}
    options = parser.parse_args(argv)
    exit_with(lambda: _look(options, own))


def _look(options: argparse.Namespace, own: dict[str, list[argparse.Action]]) -> int:
    """Print each line as soon as it is known. Returns the exit status."""
    name = best() if options.executor == "auto" else options.executor
    for action in (action for other, actions in own.items() if other != name for action in actions):
        if getattr(options, action.dest) != action.default:
            raise Refused(f"{action.option_strings[0]}: this command checks --executor {name}, which has no such option")
    shown, paths = list[Line](), (options.output_dir.absolute(), PROJECT_ROOT, Path.cwd(), _home())
    with contextlib.closing(_lines(options, name)) as lines:  # ends the trial trainings, whatever happens
        for line in lines:
            shown.append(line if options.names else without_names(line, paths))
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


def _lines(options: argparse.Namespace, name: str) -> Generator[Line, None, None]:
    executor, wanted = EXECUTORS[name], options.output_dir.absolute()
    folder = next(each for each in (wanted, *wanted.parents) if each.is_dir())
    see = "choose another --output-dir, or make sure that you may write there"
    every = [Check("output_dir", lambda: _writable(wanted), see)]
    every += [*checks(folder, executor.is_asked), *executor.checks(options, folder)]
    if options.run:
        every.append(Check("trainings", lambda: trial(executor, options, folder), "mend the problems above first"))
    return looked(every)


def _writable(folder: Path) -> Iterator[Line]:
    check_folder(folder, is_written=True)
    yield Line(OK, "output_dir", f"{folder} can be written")


def _text(line: Line) -> list[str]:
    return [f"{line.mark:9}{line.what:13}{line.found}", *([f"{'':22}-> {line.help}"] if line.help else [])]


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # raises no error if there is none


def without_names(line: Line, paths: Iterable[Path] = ()) -> Line:
    """A line in which the names of machines and of this user, and all paths, are replaced."""
    host, user = platform.node(), os.environ.get("USER") or _home().name
    known = {str(path): "PATH" for path in paths if path != path.parent}
    known |= {user: "USER", host: "HOST", host.split(".")[0]: "HOST"} | dict.fromkeys(line.names, "NODE")
    texts = [line.found, line.help]
    for name, instead in known.items():
        texts = [re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text) if name else text for text in texts]
    found, help_ = (_PATH.sub("PATH", text) for text in texts)
    return replace(line, found=found, help=help_)


if __name__ == "__main__":
    main()
