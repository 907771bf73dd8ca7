"""The command lines of all commands: how they are parsed and completed, and which campaign and runs they name."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jobs.campaign import Campaign
from jobs.filters import is_term
from jobs.manifest import ManifestError, newest_campaign
from noisy.spec import named, shown

PLANNED_ONLY: Mapping[str, Sequence[str]] = {}
_WHICH = "default: the campaign that the current folder is in, else the newest one below ./results"


class Parser(argparse.ArgumentParser):
    """The parser of a sub-command of `noisy`."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=f"noisy {name}", description=description)
        self.takes: Sequence[str] = ()  # the words that are allowed, as in `add_campaign`
        self.columns: Mapping[str, Sequence[str]] = {}
        self._has_words = False

    def add_campaign(self, takes: Sequence[str] = ("FILTER",), columns: Mapping[str, Sequence[str]] = PLANNED_ONLY) -> None:
        """Accept the campaign's folder, as --output-dir or as a word, and other words.

        After parsing, `output_dir` is the folder or None, `filter` has the words that are filters, `run_id` the others.

        Args:
            takes: "FILTER", "RUN_ID", both or neither.
            columns: for a shell that completes a filter: name -> values of columns that are not in the manifest.
        """
        self.takes, self.columns, self._has_words = takes, columns, True
        words = self.add_argument("words", nargs="*", metavar=" ".join(["DIR", *takes]), help=_help(takes))
        words.completer = _complete  # type: ignore[attr-defined]  # argcomplete looks for it
        self.add_argument("--output-dir", type=Path, help=f"the same as DIR ({_WHICH})")
        if "FILTER" in takes:
            self.add_argument("--filter", action="append", default=[], metavar="FILTER", help="the same as FILTER")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As in ArgumentParser, but options may be between the words. If a shell asks for completions, print them and exit."""
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            argcomplete.autocomplete(self, always_complete_options=not self._has_words)
        if not self._has_words:
            return super().parse_args(args, namespace)
        options = self.parse_intermixed_args(args, namespace)
        self._sort(options)
        return options

    def error(self, message: str) -> NoReturn:
        """As in ArgumentParser; also names characters that only look like a dash or a letter."""
        super().error(named(message))

    def _sort(self, options: argparse.Namespace) -> None:
        """Sort the words into folders, filters and run_ids."""
        given = [options.output_dir] if options.output_dir else []
        words = [word for word in options.words if _is_folder(word, not given)]
        rest = [word for word in options.words if word not in words]
        folders = [*map(Path, words), *given]
        if len(folders) > 1:
            self.error(f"only one campaign is possible: {', '.join(map(str, folders))}")
        filters = [word for word in rest if is_term(word) or "RUN_ID" not in self.takes]
        if filters and "FILTER" not in self.takes:
            what = "not possible" if any(map(is_term, filters)) else "no such folder"
            self.error(f"{what}: {' '.join(filters)}; allowed: {' '.join(['DIR', *self.takes])}")
        self._refuse_strange([word for word in filters if not is_term(word)], folders)
        options.output_dir = folders[0] if folders else None
        options.run_id = [word for word in rest if word not in filters]
        options.filter = [*getattr(options, "filter", []), *filters]

    def _refuse_strange(self, words: Sequence[str], folders: Sequence[Path]) -> None:
        """Without any campaign, name the words that were perhaps meant as one. (With one, all problems are named together.)"""
        if words and not folders:
            try:
                the_campaign(None)
            except ManifestError as error:
                self.error(f"neither a filter nor a folder: {', '.join(map(shown, words))}; {error}")


def the_campaign(folder: Path | None) -> Campaign:
    """The campaign of a command: the named one, else that of the current folder, else the newest one below ./results.

    Raises:
        ManifestError: there is none.
    """
    if folder is None:
        here = Path.cwd()
        inside = (each for each in (here, *here.parents) if os.path.isfile(each / "manifest.jsonl"))
        folder = next(inside, None) or newest_campaign(Path("results"))
    return Campaign(folder)


def _is_folder(word: str, is_wanted: bool) -> bool:
    """Whether a word is a folder. is_wanted: whether it may be a folder that does not exist, because no other was named."""
    return os.path.isdir(word) or (is_wanted and os.sep in word and not is_term(word))


def _help(takes: Sequence[str]) -> str:
    texts = {
        "FILTER": "only runs with these values, as in p=0.9 status!=ok 'repeat<5' model_type=mlp,cnn p=0.8..0.9 'run_id=3f2a*'",
        "RUN_ID": "the beginning of a run_id",
    }
    return "; ".join(["DIR: the campaign's folder", *(f"{name}: {texts[name]}" for name in takes)])


def _complete(prefix: str, parsed_args: argparse.Namespace, parser: Parser, **_: Any) -> list[str]:
    from jobs.completion import candidates

    given = [Path(word) for word in parsed_args.words or () if _is_folder(word, True)]
    return candidates(prefix, parsed_args.output_dir or next(iter(given), None), parser.takes, parser.columns)
