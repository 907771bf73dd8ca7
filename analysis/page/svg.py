"""matplotlib's SVG as part of a page: small, with unique ids, and without style attributes, which the page's policy forbids."""

import re

from markupsafe import Markup, escape

_NUMBER = re.compile(r"(?<![\w.#])(-?[1-9]\d*\.\d\d)\d+")  # two decimals of a point are enough (numbers below 1 are scales)
_GLYPH = re.compile(r'<path id="(DejaVu[\w-]+)" d="([^"]*)"([^>]*)/>')
_STYLE = re.compile(r' style="([^"]*)"')
_ID = re.compile(r' id="([^"]*)"')
_BEFORE = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", re.DOTALL)
_PIXELS_PER_POINT = 2.1  # gives 832 pixels for a figure that is 5.5 inches wide
_SIZE = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>')


class Inliner:
    """Converts SVGs, one after the other. Letters and styles that they share are in the page only once."""

    def __init__(self) -> None:
        self._glyphs: dict[str, str] = {}
        self._classes: dict[str, str] = {}

    def inline(self, svg: bytes, label: str, number: int) -> Markup:
        """The SVG as an element of the page. label: its text alternative; number: the figure's number, used in ids."""
        text = _BEFORE.sub("", svg.decode())
        text = _NUMBER.sub(r"\1", text).replace("xlink:href", "href")
        text = _GLYPH.sub(self._keep_glyph, text)
        text = _STYLE.sub(lambda match: f' class="{self._class(match[1])}"', text)
        used = set(re.findall(r'(?:href="|url\()#([^")]*)', text))
        text = _ID.sub(lambda match: f' id="f{number}-{match[1]}"' if match[1] in used else "", text)
        text = re.sub(r'(href="|url\()#([^")]*)', lambda match: match[1] + "#" + self._target(match[2], number), text)
        text = re.sub(r"<defs>\s*</defs>", "", text)
        text = re.sub(r"\n\s*", "\n", text)
        width = float(text.split('viewBox="', 1)[1].split()[2])
        opening = rf'<svg viewBox="\1" width="{_PIXELS_PER_POINT * width:.0f}" role="img" aria-label="{escape(label)}">'
        return Markup(_SIZE.sub(lambda match: opening.replace("\\1", match[1]), text, count=1))

    def glyphs(self) -> Markup:
        """The letters of all figures."""
        paths = "".join(f'<path id="{name}" {rest}/>' for name, rest in sorted(self._glyphs.items()))
        return Markup(f'<svg class="glyphs" aria-hidden="true" width="0" height="0"><defs>{paths}</defs></svg>')

    def css(self) -> str:
        """The styles of all figures."""
        return "".join(f".{name}{{{style}}}\n" for style, name in self._classes.items())

    def _keep_glyph(self, match: re.Match[str]) -> str:
        self._glyphs[match[1]] = f'd="{match[2]}"{match[3]}'
        return ""

    def _class(self, style: str) -> str:
        return self._classes.setdefault(style, f"s{len(self._classes)}")

    def _target(self, name: str, number: int) -> str:
        return name if name in self._glyphs else f"f{number}-{name}"
