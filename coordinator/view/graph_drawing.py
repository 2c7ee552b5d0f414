"""A pipeline's graph as text: a line for each chain of steps, a branch wherever the rows split."""

from __future__ import annotations

import io

from rich.console import Console, Group
from rich.text import Text
from rich.tree import Tree

from coordinator.plan.plan import Plan

ARROW = " -> "
WIDTH = 160


def draw_graph(plan: Plan) -> Group:
    """A tree per generator. A step where branches meet is drawn below the last of them; the others point to it."""
    arrived = dict.fromkeys(plan.steps, 0)
    trees = []
    for generator in plan.generators:
        tree = Tree(Text(), hide_root=True, guide_style="dim")
        _draw(plan, generator, tree, arrived)
        trees.append(tree)
    return Group(*trees)


def draw_text(plan: Plan) -> str:
    """The same as plain lines, without colours."""
    console = Console(width=WIDTH, color_system=None, file=io.StringIO())
    with console.capture() as capture:
        console.print(draw_graph(plan))
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


def _draw(plan: Plan, name: str, tree: Tree, arrived: dict[str, int]) -> None:
    """Draws the chain that begins with `name`, and below it what follows its end."""
    chain = Text(overflow="fold")
    while True:
        chain.append_text(_label(plan, name))
        after = plan.successors(name)
        for successor in after:
            arrived[successor] += 1
        if len(after) != 1:
            break
        chain.append(ARROW, "dim")
        (name,) = after
        if arrived[name] < len(plan.steps[name].predecessors):
            chain.append_text(_pointer(name))
            after = ()
            break
    branch = tree.add(chain)
    # In the order of the spec, each only after everything that leads to it.
    for successor in after:
        if arrived[successor] == len(plan.steps[successor].predecessors):
            _draw(plan, successor, branch, arrived)
        else:
            branch.add(_pointer(successor))


def _label(plan: Plan, name: str) -> Text:
    step = plan.steps[name]
    marks = [mark for mark, fits in ((step.kind, step.kind != "step"), ("leaf", name in plan.leaves)) if fits]
    return Text.assemble((name, "bold"), (f" ({', '.join(marks)})" if marks else "", "dim"))


def _pointer(name: str) -> Text:
    return Text(f"{name}, below", "italic dim")
