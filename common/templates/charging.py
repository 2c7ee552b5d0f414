"""Adds charges that jinja2's own hooks do not cover: loops, macros, lists, `~`, `in` and slices."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

EACH, MADE, CONCAT, SPEND, COMPARE, LOOK = "(each)", "(made)", "(concat)", "(spend)", "(compare)", "(look)"
"""Filters inserted into a template after parsing."""

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "eq": operator.eq,
        "ne": operator.ne,
        "gt": operator.gt,
        "gteq": operator.ge,
        "lt": operator.lt,
        "lteq": operator.le,
        "in": lambda part, whole: part in whole,
        "notin": lambda part, whole: part not in whole,
    }
)
"""By the names that jinja2 has for them."""


class Charging(NodeTransformer):
    """From a parsed template to one that reports its costs."""

    def visit_For(self, node: nodes.For) -> Any:
        """Each item costs the steps of the body."""
        self.generic_visit(node)
        node.iter = _call(EACH, node.iter, nodes.Const(_size(node.body)))
        return node

    def visit_Macro(self, node: nodes.Macro) -> Any:
        """Each call of a macro costs the steps of its body."""
        return self._spending(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> Any:
        """The body is a macro, too."""
        return self._spending(node)

    def visit_Block(self, node: nodes.Block) -> Any:
        """It may be printed again, as `self.name()`."""
        return self._spending(node)

    def visit_List(self, node: nodes.List) -> Any:
        """`[a, b]`."""
        return self._listing(node, node.items)

    def visit_Tuple(self, node: nodes.Tuple) -> Any:
        """`(a, b)`, unless it is the target of a loop or an assignment."""
        return self._listing(node, node.items if node.ctx == "load" else [])

    def visit_Dict(self, node: nodes.Dict) -> Any:
        """`{a: b}`."""
        return self._listing(node, [part for item in node.items for part in (item.key, item.value)])

    def visit_Concat(self, node: nodes.Concat) -> Any:
        """`a ~ b`."""
        self.generic_visit(node)
        return _call(CONCAT, nodes.List(node.nodes, lineno=node.lineno))

    def visit_Getitem(self, node: nodes.Getitem) -> Any:
        """A slice is a copy."""
        self.generic_visit(node)
        return _call(MADE, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> Any:
        """`a in b`, `a == b`; in `a < b < c`, the last is read only if Python reads it."""
        self.generic_visit(node)
        if len(node.ops) == 1:
            (operand,) = node.ops
            return _call(COMPARE, node.expr, operand.expr, nodes.Const(operand.op))
        node.expr = _call(LOOK, node.expr)
        for operand in node.ops:
            operand.expr = _call(LOOK, operand.expr)
        return node

    def _listing(self, node: Any, items: list[nodes.Expr]) -> Any:
        self.generic_visit(node)
        return node if all(isinstance(item, nodes.Const) for item in items) else _call(MADE, node)

    def _spending(self, node: Any) -> Any:
        size = nodes.Const(_size(node.body))
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_call(SPEND, nodes.Const(None), size), lineno=node.lineno))
        return node


def _call(name: str, node: Any, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _size(body: list[nodes.Node]) -> int:
    """Steps of a body, without the repetitions of its loops."""
    return 1 + sum(1 for node in body for _ in node.find_all(nodes.Expr)) // 4
