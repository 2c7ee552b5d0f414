"""YAML for programs that read it in different ways: Compose, and Kubernetes, which still reads YAML 1.1."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

WIDTH = 120
UNFOLDED = 4_096
"""Folded lines would end in spaces."""
_OTHERWISE = re.compile(
    r"(?i:y|yes|n|no|on|off|true|false|null|~|\.inf|\.nan)|[-+.]?[0-9][0-9a-fA-FxXo_.:eE+-]*|[^\w./$-].*"
)
"""Text that some version of YAML takes for something else if it is not quoted."""
_WORDS = re.compile(r"[\w./$=@+-]+( [\w./$=@+-]+)*")
"""Text that may appear in a list on one line, where punctuation has other meanings."""
_MERGE = "x-merge"
"""Written as `<<`, for which every version of ruamel.yaml has a different interface."""


class Commented(dict[str, Any]):
    """A mapping with a comment above some of its keys.

    Args:
        comments: key -> lines.
    """

    def __init__(self, values: Mapping[str, Any], comments: Mapping[str, str]) -> None:
        super().__init__(values)
        self.comments = dict(comments)


class Anchored(Commented):
    """A mapping that others may merge, or that merges another one (`<<`), or both.

    Args:
        anchor: its name; empty if nothing merges it.
        merged: the mapping that it merges, which must be above it.
    """

    def __init__(self, values: Mapping[str, Any], anchor: str = "", merged: Anchored | None = None) -> None:
        super().__init__(values, getattr(values, "comments", {}))
        self.anchor = anchor
        self.merged = merged


def yaml_text(documents: Sequence[Mapping[str, Any]], header: str = "") -> str:
    """Text of one or several documents; `header` is a comment at the top."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = UNFOLDED
    stream = io.StringIO()
    stream.write("".join(f"# {line}".rstrip() + "\n" for line in header.splitlines()))
    for number, document in enumerate(documents):
        if number or header:
            stream.write("\n" if not number else "---\n")
        yaml.dump(_Nodes().make(document, 0), stream)
    return stream.getvalue().replace(f"{_MERGE}: *", "<<: *")


class _Nodes:
    """Makes the nodes of a document; a mapping with an anchor has a single node, however often it is used."""

    def __init__(self) -> None:
        self._anchored: dict[int, CommentedMap] = {}

    def make(self, value: Any, depth: int) -> Any:
        match value:
            case Mapping():
                return self._map(value, depth)
            case str():
                if "\n" in value:
                    return LiteralScalarString(value)
                return DoubleQuotedScalarString(value) if _OTHERWISE.fullmatch(value) else value
            case Sequence():
                return self._list(value, depth)
            case _:
                return value

    def _map(self, value: Mapping[str, Any], depth: int) -> CommentedMap:
        if id(value) in self._anchored:
            return self._anchored[id(value)]
        found = CommentedMap()
        if isinstance(value, Anchored) and value.merged is not None:
            found[_MERGE] = self._anchored[id(value.merged)]
        found.update((key, self.make(each, depth + 2)) for key, each in value.items())
        for key, text in getattr(value, "comments", {}).items():
            found.yaml_set_comment_before_after_key(key, before=text, indent=depth)
        if isinstance(value, Anchored) and value.anchor:
            found.yaml_set_anchor(value.anchor)
            self._anchored[id(value)] = found
        return found

    def _list(self, value: Sequence[Any], depth: int) -> CommentedSeq:
        items = CommentedSeq(self.make(each, depth + 2) for each in value)
        short = len(str(list(value))) < WIDTH - depth - 20
        if short and all(isinstance(each, int) or (isinstance(each, str) and _WORDS.fullmatch(each)) for each in value):
            items.fa.set_flow_style()
        return items
