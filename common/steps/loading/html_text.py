"""The text of an HTML document, as a browser would show it without styles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bs4.element import PageElement

_LEFT_OUT = frozenset({"head", "iframe", "noscript", "object", "script", "style", "svg", "template", "title"})
_PARAGRAPHS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "dl", "fieldset", "figure", "footer", "form", "header", "hr"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "html", "main", "nav", "ol", "p", "pre", "section", "table", "ul"}
)
_LINES = frozenset(
    {"br", "caption", "dd", "details", "div", "dt", "figcaption", "legend", "li", "option", "summary"}
    | {"tbody", "tfoot", "thead", "tr"}
)
_CELLS = frozenset({"td", "th"})
_SPACE = re.compile(r"[ \t\n\r\f]+")


def text_of(root: PageElement) -> str:
    """The text below an element: blocks are paragraphs or lines, cells are separated by tabs, `pre` keeps its space."""
    from bs4.element import CData, NavigableString, Tag

    flow = _Flow()
    waiting: list[tuple[PageElement | str, bool]] = [(root, False)]
    while waiting:  # without recursion: a document may be nested deeply
        element, is_pre = waiting.pop()
        if isinstance(element, Tag):
            if element.name in _LEFT_OUT:
                continue
            border = _border(element.name)
            is_pre = is_pre or element.name == "pre"
            waiting.append((border, is_pre))
            waiting += [(child, is_pre) for child in reversed(element.contents)]
            waiting.append((border, is_pre))
        elif type(element) is str:
            flow.separate(element)
        elif type(element) in (NavigableString, CData):
            flow.add(str(element), is_pre)
    return flow.text()


class _Flow:
    """Text as it comes, and the space between it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._border = ""

    def separate(self, border: str) -> None:
        """Puts a border before what follows; of several borders in a row, the largest counts."""
        self._border = max(self._border, border, key=_BORDERS.index)

    def add(self, text: str, is_pre: bool) -> None:
        if not is_pre:
            text = _SPACE.sub(" ", text)
            if text.startswith(" "):
                self.separate(" ")
                text = text[1:]
        if not text:
            return
        if self._pieces:
            self._pieces.append(self._border)
        self._border = ""
        if not is_pre and text.endswith(" "):
            self._border, text = " ", text[:-1]
        self._pieces.append(text)

    def text(self) -> str:
        return "".join(self._pieces)


_BORDERS = ("", " ", "\t", "\n", "\n\n")
"""From the smallest to the largest."""


def _border(name: str) -> str:
    """What an element's text is separated with from the rest."""
    if name in _PARAGRAPHS:
        return "\n\n"
    return "\n" if name in _LINES else "\t" if name in _CELLS else ""
