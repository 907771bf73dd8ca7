"""The screen of the live view, as a pure function of what it shows and of the terminal's size."""

import textwrap
from collections.abc import Sequence
from datetime import datetime

from rich.console import Group
from rich.text import Text

from hpc.console import count
from hpc.execution.summary import end_of
from hpc.execution.view.heatmap import crop_text, draw_panels
from hpc.execution.view.marks import DONE_STYLE, FAILED_STYLE, crop, plain
from hpc.execution.view.snapshot import LastRun, Snapshot
from hpc.state.runs import STATES

_STYLES = {"done": DONE_STYLE, "running": "yellow", "failed": "red", "lost": "red", "unknown": "magenta"}
_BLOCKS, _ASCII = ("█", "▓", "░"), ("#", ">", ".")  # of the bar: done, running, the rest
_LEAST_LAST, _MOST_WORKERS, _MOST_ADVICE = 3, 3, 3
_LABEL = 9  # columns in front of workers and advice


def screen(shown: Snapshot, columns: int, rows: int, hint: str, encoding: str = "utf-8") -> Group:
    """What is drawn: at most `rows` lines of at most `columns` columns.

    Args:
        hint: the last line: which keys there are.
        encoding: of the terminal.
    """
    return Group(*lines_of(shown, columns, rows, hint, encoding))


def lines_of(shown: Snapshot, columns: int, rows: int, hint: str, encoding: str = "utf-8") -> list[Text]:
    """The lines of the screen. On a low terminal the map and the last runs are left out first, then advice."""
    top = [
        _title(shown, columns, encoding),
        _bar(shown, columns, encoding),
        _counts(shown, columns),
        Text(crop(_end(shown, columns), columns)),
    ]
    n_advice = _MOST_ADVICE
    while len(below := _below(shown, columns, hint, encoding, n_advice)) > rows - len(top) and n_advice:
        n_advice -= 1
    room = rows - len(top) - len(below)
    if room < 0:
        return [*top, *below[-room:]]
    table = draw_panels(shown.panels, columns, room - 2 - _LEAST_LAST) if shown.panels else []
    middle = [Text(), *table, Text()] if table else [Text()][:room]
    last = [_last(one, columns, encoding) for one in shown.last[: room - len(middle)]]
    free = [Text() for _ in range(room - len(middle) - len(last))]
    return [*top, *middle, *last, *free, *below]


def _below(shown: Snapshot, columns: int, hint: str, encoding: str, n_advice: int) -> list[Text]:
    """Workers, advice, the next command and the keys."""
    at = datetime.fromtimestamp(shown.at_s).strftime("%H:%M:%S")
    following = plain(f"Next: {shown.following}", encoding) if shown.following else ""
    return [
        *_labelled("workers", shown.workers, _MOST_WORKERS, columns, encoding),
        *(_labelled("advice", shown.advice, n_advice, columns, encoding) if n_advice else ()),
        *(Text(line, style="bold") for line in textwrap.wrap(following, columns, break_on_hyphens=False)),  # to be copied
        Text(crop(f"{hint}  ({at})", columns), style="dim"),
    ]


def _title(shown: Snapshot, columns: int, encoding: str) -> Text:
    n_done, n_runs = shown.shown["done"], shown.shown["runs"]
    share = f"{n_done:,} of {count(n_runs, 'run')} done, {100 * n_done / max(1, n_runs):.0f} %"
    folder = crop(plain(shown.folder, encoding), max(8, columns - len(share) - 2))
    line = Text(folder, style="bold").append(share.rjust(max(len(share) + 1, columns - len(folder))), style="bold green")
    return crop_text(line, columns)


def _bar(shown: Snapshot, columns: int, encoding: str) -> Text:
    """Done, running, failed and the rest, by their numbers of runs. What there is of a state is seen, however little it is."""
    done, running, rest = _BLOCKS if encoding.lower().startswith("utf") else _ASCII
    n_runs, failed = max(1, shown.shown["runs"]), sum(shown.shown[name] for name in ("failed", "lost"))
    parts = [(shown.shown["done"], done, "green"), (shown.shown["running"], running, "yellow"), (failed, "!", "red")]
    line = Text()
    for n, glyph, style in parts:
        line.append(glyph * max(int(columns * n / n_runs), min(n, 1)), style=style)
    line.append(rest * (columns - line.cell_len), style="dim")
    return crop_text(line, columns)


def _counts(shown: Snapshot, columns: int) -> Text:
    """The number of runs in each state. The marks are those of the map."""
    marks = {"running": "> ", "failed": "! "}
    line = Text()
    for name in STATES:
        if n := shown.shown[name]:
            line.append(f"{marks.get(name, '')}{name} {n:,}", style=_STYLES.get(name, "")).append("   ")
    if given_up := shown.shown["given_up"]:
        line.append(f"(given up {given_up:,})")
    line.rstrip()
    return crop_text(line, columns)


def _end(shown: Snapshot, columns: int) -> str:
    """When it ends. Where there is little room, without the rate."""
    if text := end_of(shown.shown):
        ends_at = datetime.fromtimestamp(shown.at_s + shown.shown["left_s"]["expected"])
        day = "" if shown.shown["left_s"]["expected"] < 20 * 3600 else "%a "
        whole = f"{text}; ends {ends_at.strftime(f'{day}%H:%M')}"
        return whole if len(whole) <= columns else whole.rpartition("per hour; ")[2]
    return "nobody knows yet when it ends" if shown.shown["at_work"] else "nothing is at work"


def _last(one: LastRun, columns: int, encoding: str) -> Text:
    """`14:02:11  mlp relu         p=0.3   repeat 12   accuracy 0.9711   62 s  node3`; what has no room is left out, p never."""
    at = datetime.fromtimestamp(one.ended_at_s).strftime("%H:%M:%S")
    outcome = one.outcome if one.is_failed else f"accuracy {one.outcome}"
    parts = [
        (f"{at}  {plain(one.name, encoding):15}", 0),
        (f" p={one.p:<6g}", 0),
        (f" repeat {one.repeat:<4}", 90),
        (f" {outcome:22}", 0),
        (f" {one.wall_s:6.1f} s" if one.wall_s == one.wall_s else " " * 9, 70),
        (f"  {plain(one.host, encoding)}", 80),
    ]
    text = "".join(part for part, least in parts if columns >= least).rstrip()
    return Text(crop(text, columns), style=FAILED_STYLE if one.is_failed else "")


def _labelled(label: str, texts: Sequence[str], most: int, columns: int, encoding: str) -> list[Text]:
    """A line for each text, and one that says how many there are besides."""
    shown = list(texts[: most if len(texts) <= most else most - 1])
    if len(texts) > len(shown):
        shown.append(f"and {len(texts) - len(shown)} more (status prints them)")
    lines = []
    for i, text in enumerate(shown):
        own = crop(plain(text, encoding), columns - _LABEL)
        lines.append(Text.assemble((label if i == 0 else "").ljust(_LABEL), (own, "yellow" if label == "advice" else "")))
    return lines
