"""Converts the Markdown of methods.md to HTML: headings, paragraphs, **bold**, `code`, and blocks of code."""

import re

from markupsafe import Markup, escape

_BLOCKS = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def html(text: str, level: int = 3) -> Markup:
    """The text as HTML; other Markdown stays as it is. level: the level of the highest heading (3: `#` becomes <h3>)."""
    parts = _BLOCKS.split(text)
    found = [_code(part) if i % 2 else _paragraphs(part, level) for i, part in enumerate(parts)]
    return Markup("\n").join(found)


def _code(text: str) -> Markup:
    return Markup('<pre tabindex="0">{}</pre>').format(text)


def _paragraphs(text: str, level: int) -> Markup:
    found = []
    for block in filter(None, (block.strip() for block in text.split("\n\n"))):
        heading = re.match(r"(#+) (.*)", block)
        tag = f"h{min(6, level + len(heading[1]) - 1)}" if heading else "p"
        found.append(Markup("<{0}>{1}</{0}>").format(tag, _inline(heading[2] if heading else block)))
    return Markup("\n").join(found)


def _inline(text: str) -> Markup:
    safe = str(escape(text))
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\$p\$", "<i>p</i>", safe)
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe))
