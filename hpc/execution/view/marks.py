"""The marks and styles that the view's parts share, and text that fits a terminal."""

from rich.cells import cell_len, set_cell_size

RUNNING_MARK, FAILED_MARK = ">", "!"
DONE_STYLE, RUNNING_STYLE, FAILED_STYLE = "green", "black on yellow", "white on red"


def plain(text: str, encoding: str) -> str:
    """The text as a terminal can show it: without control characters, and in its encoding."""
    printable = "".join(each if each.isprintable() else "?" for each in text)
    return printable.encode(encoding, "backslashreplace").decode(encoding)


def crop(text: str, width: int) -> str:
    """The text in at most so many columns; what is cut off is shown by a tilde."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "~" if width > 0 else ""
