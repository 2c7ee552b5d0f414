"""YAML 1.2 (hence JSON) text as plain data, with the line of everything in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scanner import Scanner, ScannerError

from common.errors import Loc, SpecError

_TAG = "tag:yaml.org,2002:"
_NUMBER_TAGS = {_TAG + "int", _TAG + "float"}
_LONGEST_NUMBER = 400
"""Characters; more than any float needs, and far fewer than Python takes seconds to print."""
_MOST_ALIASED = 100_000
"""Values that all aliases together may expand to: a few lines of nested aliases expand to billions."""
_MOST_ALIASED_TEXT = 5_000_000
"""Characters of the texts among them: a long text may be aliased often, and is written out in the broker."""
MOST_TEXT = 10_000_000
"""Characters of a spec."""
_MOST_VALUES = 500_000
"""Values of a spec; this many take about 20 s to read."""
_DEEPEST = 100
_LONGEST_KEY = 1_000
_LONGEST_TAG = 200
_LONGEST_PROBLEM = 400
_ELSEWHERE = "rows belong in a file of their own, which LoadDataFromFile reads"
_PLAIN_TAGS = {_TAG + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True, slots=True)
class YamlSource:
    """Parsed text.

    Args:
        file: the name in messages; empty for text that is not a file.
        data: None, bool, int, float, str, lists, and dicts with string keys; nothing else.
    """

    file: str
    data: Any
    _root: Node | None

    @classmethod
    def parse(cls, text: str, file: str = "") -> YamlSource:
        """Raises SpecError with the line: syntax, duplicate keys, keys that are not text, tags, numbers that are too
        long or too large, aliases that are endless or stand for too much, what is too long or too deeply nested.
        """
        if len(text) > MOST_TEXT:
            raise SpecError(f"more than {MOST_TEXT:,} characters; {_ELSEWHERE}", file=file)
        yaml = YAML(typ="safe", pure=True)
        yaml.Scanner = _BoundedScanner
        yaml.Composer = _BoundedComposer
        yaml.Constructor = _PlainConstructor
        try:
            root = yaml.compose(text)
            if root is None:
                return cls(file, None, None)
            _check(root, _Checked(file), set())
            return cls(file, yaml.constructor.construct_document(root), root)
        except MarkedYAMLError as error:
            raise _syntax_error(error, file) from None
        except (YAMLError, ValueError) as error:  # a ValueError: a directive with a number of many digits
            raise SpecError(f"not valid YAML: {str(error)[:_LONGEST_PROBLEM]}", file=file) from None

    def line(self, loc: Loc) -> int | None:
        """1-based line of the key or list item at `loc`, or of the closest enclosing one."""
        node, line = self._root, 1 if self._root is not None else None
        for part in loc:
            found = _child(node, part)
            if found is None:
                break
            mark, node = found
            line = mark.start_mark.line + 1
        return line


class _TooMuch(ComposerError):
    """Valid YAML, but longer or deeper than a spec may be."""


class _BoundedScanner(Scanner):
    """ruamel.yaml takes time quadratic in the length of a tag."""

    def scan_tag(self) -> Any:
        """Raises ScannerError."""
        if not any(character.isspace() or character == "\0" for character in self.reader.prefix(_LONGEST_TAG)):
            raise ScannerError(None, None, f"a tag of more than {_LONGEST_TAG} characters", self.reader.get_mark())
        return super().scan_tag()


class _BoundedComposer(Composer):
    """Stops at a value that would take too long, with its line, before reading the rest."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self._around = self._values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Raises _TooMuch."""
        self._around += 1
        self._values += 1
        if self._around > _DEEPEST:
            raise self._refusal(f"this is nested more than {_DEEPEST} levels deep; write it flatter")
        if self._values > _MOST_VALUES:
            raise self._refusal(f"more than {_MOST_VALUES:,} values up to here; {_ELSEWHERE}")
        node = super().compose_node(parent, index)
        self._around -= 1
        return node

    def _refusal(self, problem: str) -> _TooMuch:
        return _TooMuch(None, None, problem, self.parser.peek_event().start_mark)


class _PlainConstructor(SafeConstructor):
    """Builds what JSON can hold: YAML 1.2 has no timestamps, so a date stays text."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Raises ConstructorError for a scalar that does not match its tag, such as `!!int ten`."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError) as error:
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
        # Merged keys (<<) come first, so the last key with the name counts.
        for key, value in reversed(node.value):
            if key.value == part:
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item
    return None


@dataclass(slots=True)
class _Checked:
    """What is known about the nodes examined so far.

    Args:
        sizes: node -> how many values and characters it expands to, aliases followed.
        aliased, aliased_text: values and characters that aliases have expanded to so far.
    """

    file: str
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    aliased: int = 0
    aliased_text: int = 0

    def add_alias(self, values: int, text: int, line: int) -> None:
        """Raises SpecError if that is too much."""
        self.aliased += values
        self.aliased_text += text
        if self.aliased > _MOST_ALIASED:
            self.refuse(f"aliases (*) of this node expand to more than {_MOST_ALIASED:,} values; write them out", line)
        if self.aliased_text > _MOST_ALIASED_TEXT:
            self.refuse(f"aliases (*) of this node expand to more than {_MOST_ALIASED_TEXT:,} characters", line)

    def refuse(self, message: str, line: int) -> NoReturn:
        """Raises SpecError."""
        raise SpecError(message, file=self.file, line=line)


def _check(node: Node, checked: _Checked, above: set[int]) -> tuple[int, int]:
    """Refuses what plain data cannot hold, and returns how much the node expands to.

    Args:
        above: the nodes around this one.
    """
    line = node.start_mark.line + 1
    if id(node) in above:
        checked.refuse("an alias (*) is inside the value that it refers to", line)
    if (size := checked.sizes.get(id(node))) is not None:
        checked.add_alias(*size, line)
        return size
    tag = str(node.tag)
    if tag not in _PLAIN_TAGS:
        shown = "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag
        checked.refuse(f"the tag {shown[:_LONGEST_PROBLEM]} is not supported; write plain values", line)
    values, text = 1, 0
    if isinstance(node, ScalarNode):
        text = len(node.value)
        if tag in _NUMBER_TAGS:
            _check_number(node, checked, line)
    else:
        if isinstance(node, MappingNode):
            _check_keys(node, checked)
        around = above | {id(node)}
        for child in node.value:
            key, value = child if isinstance(node, MappingNode) else (None, child)
            more_values, more_text = _check(value, checked, around)
            values += more_values
            text += more_text + (len(key.value) if key is not None else 0)
    checked.sizes[id(node)] = values, text
    return values, text


def _check_number(node: ScalarNode, checked: _Checked, line: int) -> None:
    if len(node.value) > _LONGEST_NUMBER:
        checked.refuse(
            f"a number of {len(node.value):,} characters; at most {_LONGEST_NUMBER} are read: put it in quotes", line
        )
    if node.tag == _TAG + "float" and _is_too_large(node.value):
        checked.refuse(f"the number {node.value[:40]} is beyond the range of a float (1.8e308): put it in quotes", line)


def _is_too_large(number: str) -> bool:
    """Whether a large exponent made it infinite. YAML's own infinity (`.inf`) is intended."""
    try:
        return "inf" not in number.lower() and math.isinf(float(number.replace("_", "")))
    except ValueError:  # a float of YAML's that Python refuses is found when it is built
        return False


def _check_keys(node: MappingNode, checked: _Checked) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.tag == _TAG + "merge":
            continue
        if not isinstance(key, ScalarNode):
            checked.refuse("a key must be text, not a list or a mapping", line)
        if len(key.value) > _LONGEST_KEY:
            checked.refuse(f"a key of {len(key.value):,} characters; at most {_LONGEST_KEY:,} are read", line)
        if key.tag != _TAG + "str":
            checked.refuse(f"the key {key.value} is not text; put it in quotes: '{key.value}'", line)
        if key.value in seen:
            checked.refuse(f"the key '{key.value}' is given twice, first on line {seen[key.value]}", line)
        seen[key.value] = line


def _syntax_error(error: MarkedYAMLError, file: str) -> SpecError:
    problem = str(error.problem or error.context or error)
    mark = error.problem_mark or error.context_mark
    if "'\\t'" in problem:
        problem = "YAML needs spaces here, not a tab; replace it"
    elif error.context and error.context_mark:
        problem += f" ({error.context} that begins on line {error.context_mark.line + 1})"
    shown = problem if isinstance(error, _TooMuch) else f"not valid YAML: {problem}"
    return SpecError(shown[:_LONGEST_PROBLEM], file=file, line=mark.line + 1 if mark else None)
