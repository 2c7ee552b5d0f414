"""The text of an HTML document, as a browser would show it without styles."""

from __future__ import annotations

import re
from typing import Any

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
_BORDERS = ("", " ", "\t", "\n", "\n\n")
"""What separates texts, from the smallest to the largest."""
_BORDER_OF = {**dict.fromkeys(_CELLS, 2), **dict.fromkeys(_LINES, 3), **dict.fromkeys(_PARAGRAPHS, 4)}
"""Element -> the place in `_BORDERS` of what its text is separated with from the rest."""
_SPACE = re.compile(r"[ \t\n\r\f]+")


def text_of(root: Any) -> str:
    """The text below an element of lxml: blocks are paragraphs or lines, tabs separate cells, `pre` keeps its space."""
    flow = _Flow()
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting:  # without recursion: a document may be nested deeply
        item, is_pre = waiting.pop()
        if isinstance(item, int):
            flow.separate(item)
        elif isinstance(item, str):
            flow.add(item, is_pre)
        elif isinstance(item.tag, str) and item.tag not in _LEFT_OUT:  # a comment has another tag
            border = _BORDER_OF.get(item.tag, 0)
            is_inner_pre = is_pre or item.tag == "pre"
            waiting.append((border, is_pre))
            for child in reversed(item):
                waiting += [(child.tail or "", is_inner_pre), (child, is_inner_pre)]
            waiting += [(item.text or "", is_inner_pre), (border, is_pre)]
    return flow.text()


class _Flow:
    """Text as it comes, and the space between it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._border = 0

    def separate(self, border: int) -> None:
        """Puts a border before what follows; of several borders in a row, the largest counts."""
        if border > self._border:
            self._border = border

    def add(self, text: str, is_pre: bool) -> None:
        if not is_pre:
            text = _SPACE.sub(" ", text)
            if text.startswith(" "):
                self.separate(1)
                text = text[1:]
        if not text:
            return
        if self._pieces:
            self._pieces.append(_BORDERS[self._border])
        self._border = 0
        if not is_pre and text.endswith(" "):
            self._border, text = 1, text[:-1]
        self._pieces.append(text)

    def text(self) -> str:
        return "".join(self._pieces)
