"""YAML 1.2 (and so JSON) text as plain data, with the line of everything in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from common.errors import SpecError
from common.faults import Loc

_TAG = "tag:yaml.org,2002:"
_NUMBER_TAGS = {_TAG + "int", _TAG + "float"}
_LONGEST_NUMBER = 400
"""Characters; beyond the range of a float, and far below what Python takes seconds to print."""
_MOST_ALIASED = 100_000
"""Values that aliases may stand for, all together: a few lines of aliases of aliases stand for billions."""
_PLAIN_TAGS = {_TAG + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A parsed text.

    Args:
        file: the name for messages; empty for a text that is not a file.
        data: None, bool, int, float, str, lists, and dicts with string keys; nothing else.
    """

    file: str
    data: Any
    _root: Node | None

    @classmethod
    def parse(cls, text: str, file: str = "") -> YamlSource:
        """Raises SpecError with the line: syntax, duplicate keys, keys that are not text, tags, numbers that are too
        long, aliases that are endless or stand for too much.
        """
        yaml = YAML(typ="safe", pure=True)
        yaml.Constructor = _PlainConstructor
        try:
            root = yaml.compose(text)
            if root is None:
                return cls(file, None, None)
            _check(root, file, set(), {}, [0])
            return cls(file, yaml.constructor.construct_document(root), root)
        except MarkedYAMLError as error:
            raise _syntax_error(error, file) from None
        except YAMLError as error:
            raise SpecError(f"not valid YAML: {error}", file=file) from None
        except RecursionError:
            raise SpecError("the YAML is nested too deeply", file=file) from None

    def line(self, loc: Loc) -> int | None:
        """1-based line of the key or list item at `loc`, or of the nearest thing around it that is there."""
        node, line = self._root, 1 if self._root is not None else None
        for part in loc:
            found = _child(node, part)
            if found is None:
                break
            mark, node = found
            line = mark.start_mark.line + 1
        return line


class _PlainConstructor(SafeConstructor):
    """Builds what JSON can hold: YAML 1.2 has no timestamps, so a date stays the text that it is."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Raises ConstructorError for a scalar that is not what its tag says, such as `!!int ten`."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError) as error:
            problem = f"{str(node.value)[:40]!r} cannot be read as {str(node.tag).removeprefix(_TAG)}"
            raise ConstructorError(None, None, problem, node.start_mark) from error


def _text(_: SafeConstructor, node: ScalarNode) -> str:
    # JSON writes a character beyond 16 bits as two escapes, which YAML reads as two characters.
    return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_PlainConstructor.add_constructor(_TAG + "str", _text)
_PlainConstructor.add_constructor(_TAG + "timestamp", _text)


def _child(node: Node | None, part: str | int) -> tuple[Node, Node] | None:
    """The node that marks the place of `part`, and the node of its value."""
    if isinstance(node, MappingNode):
        # Keys that came in by a merge (<<) stand first, so the last one with the name is the one that counts.
        for key, value in reversed(node.value):
            if key.value == part:
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item
    return None


def _check(node: Node, file: str, above: set[int], sizes: dict[int, int], aliased: list[int]) -> int:
    """Refuses what plain data cannot hold, and returns how many values the node stands for, aliases followed.

    Args:
        above: the nodes around this one.
        sizes: of the nodes that are already checked.
        aliased: one number, the values that aliases have stood for so far.
    """
    line = node.start_mark.line + 1
    if id(node) in above:
        raise SpecError("an alias (*) stands inside the value that it names", file=file, line=line)
    if (size := sizes.get(id(node))) is not None:
        aliased[0] += size
        if aliased[0] > _MOST_ALIASED:
            message = f"aliases (*) of what begins here stand for more than {_MOST_ALIASED:,} values; write them out"
            raise SpecError(message, file=file, line=line)
        return size
    tag = str(node.tag)
    if tag not in _PLAIN_TAGS:
        shown = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
        raise SpecError(f"the tag {shown} is not known here; write plain values", file=file, line=line)
    if tag in _NUMBER_TAGS and len(node.value) > _LONGEST_NUMBER:
        message = f"a number of {len(node.value):,} characters; at most {_LONGEST_NUMBER} are read: put it in quotes"
        raise SpecError(message, file=file, line=line)
    size = 1
    if isinstance(node, MappingNode):
        _check_keys(node, file)
    if not isinstance(node, ScalarNode):
        around = above | {id(node)}
        for child in node.value:
            value = child[1] if isinstance(node, MappingNode) else child
            size += _check(value, file, around, sizes, aliased)
    sizes[id(node)] = size
    return size


def _check_keys(node: MappingNode, file: str) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.tag == _TAG + "merge":
            continue
        if not isinstance(key, ScalarNode):
            raise SpecError("a key must be text, not a list or a mapping", file=file, line=line)
        if key.tag != _TAG + "str":
            message = f"the key {key.value} is not text; put it in quotes: '{key.value}'"
            raise SpecError(message, file=file, line=line)
        if key.value in seen:
            message = f"the key '{key.value}' is given twice, first on line {seen[key.value]}"
            raise SpecError(message, file=file, line=line)
        seen[key.value] = line


def _syntax_error(error: MarkedYAMLError, file: str) -> SpecError:
    problem = str(error.problem or error.context or error)
    mark = error.problem_mark or error.context_mark
    if "'\\t'" in problem:
        problem = "a tab stands where YAML wants spaces; replace it"
    elif error.context and error.context_mark:
        problem += f" ({error.context} that begins on line {error.context_mark.line + 1})"
    return SpecError(f"not valid YAML: {problem}", file=file, line=mark.line + 1 if mark else None)
