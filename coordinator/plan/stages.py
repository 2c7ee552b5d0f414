"""Stages: the steps that are loaded together. A stage begins once all rows of the previous one are there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from common.errors import SpecFault
from common.words.faults import hint

SEQUENTIAL: Literal["sequential_step_execution"] = "sequential_step_execution"
"""Replaces load groups: each step is a separate stage."""

LoadGroups = Sequence[Sequence[str]] | Literal["sequential_step_execution"] | None
Stages = tuple[tuple[str, ...], ...]

_Block = int | str
"""A unit that is loaded at once: a group, by its index in the list of groups, or a single step, by its name."""


def find_stages(
    predecessors: Mapping[str, Sequence[str]], global_steps: Collection[str], load_groups: LoadGroups = None
) -> Stages:
    """Divides the steps of a pipeline into stages so that no edge leads to an earlier stage.

    A load group is a stage, and so is a global step. Steps before, between or after these share a stage where possible.
    Stages that need not wait for each other are ordered: those without a group, then groups in their order, then global
    steps in the order of the pipeline.

    Args:
        predecessors: those of every step, in an order in which each step comes after its predecessors.
        load_groups: as in the spec.

    Raises:
        SpecFault: a group cannot be a stage; see also `check_load_groups`.
    """
    if load_groups == SEQUENTIAL:
        return tuple((name,) for name in predecessors)
    check_load_groups(list(predecessors), global_steps, load_groups)
    groups = [tuple(group) for group in load_groups or ()]
    grouped = {name for group in groups for name in group}
    groups += [(name,) for name in predecessors if name in global_steps and name not in grouped]
    blocks: dict[str, _Block] = {name: name for name in predecessors}
    blocks.update((name, place) for place, group in enumerate(groups) for name in group)
    levels = _levels(_block_graph(predecessors, blocks), groups)
    stages: dict[tuple[int, int], list[str]] = {}
    for name, block in blocks.items():
        place = block if isinstance(block, int) else -1
        stages.setdefault((levels[block], place), []).append(name)
    return tuple(tuple(stages[key]) for key in sorted(stages))


def check_load_groups(steps: Collection[str], global_steps: Collection[str], load_groups: LoadGroups) -> None:
    """Raises SpecFault for a group without steps, or with unknown steps, steps of another group or a global step."""
    seen: set[str] = set()
    for index, group in enumerate(load_groups or () if load_groups != SEQUENTIAL else ()):
        if not group:
            raise SpecFault(
                "load_groups: this group has no steps; add steps, or remove the group", ("load_groups", index)
            )
        for position, name in enumerate(group):
            loc = ("load_groups", index, position)
            if name not in steps:
                raise SpecFault(f"load_groups: there is no step '{name}'{hint(name, steps, 'the steps are')}", loc)
            if name in seen:
                raise SpecFault(
                    f"load_groups: step '{name}' is named twice; a step can be in only one group",
                    loc,
                )
            if name in global_steps and len(group) > 1:
                raise SpecFault(
                    f"load_groups: '{name}' is a global step, which is loaded alone, since it begins when all rows "
                    "are there; remove it from the group",
                    loc,
                )
            seen.add(name)


def _block_graph(
    predecessors: Mapping[str, Sequence[str]], blocks: Mapping[str, _Block]
) -> dict[_Block, dict[_Block, None]]:
    """Block -> the other blocks that it takes rows from; a dict, not a set, to have the same order in every process."""
    graph: dict[_Block, dict[_Block, None]] = {block: {} for block in blocks.values()}
    for name, before in predecessors.items():
        graph[blocks[name]].update((blocks[other], None) for other in before if blocks[other] != blocks[name])
    return graph


def _levels(graph: Mapping[_Block, Collection[_Block]], groups: Sequence[tuple[str, ...]]) -> dict[_Block, int]:
    """How often the longest path to each block enters or leaves a group."""
    levels: dict[_Block, int] = {}
    try:
        for block in TopologicalSorter(graph).static_order():
            alone = isinstance(block, str)
            levels[block] = max(
                (levels[other] + (not (alone and isinstance(other, str))) for other in graph[block]), default=0
            )
    except CycleError as error:
        raise _separated(error.args[1][:-1], groups) from None
    return levels


def _separated(cycle: Sequence[_Block], groups: Sequence[tuple[str, ...]]) -> SpecFault:
    """The steps themselves form no cycle, so one of the blocks is a group of several steps."""
    index, *others = sorted(block for block in cycle if isinstance(block, int) and len(groups[block]) > 1)
    group = _named(groups[index])
    if others:
        return SpecFault(
            f"load_groups: the group {group} and the group {_named(groups[others[0]])} each need rows from the other, "
            "so neither can be loaded first; merge the two groups, or split them",
            ("load_groups", index),
        )
    between = [groups[block][0] if isinstance(block, int) else block for block in cycle if block != index]
    said = f"{_named(between)} {'stands' if len(between) == 1 else 'stand'}"
    remedy = (
        "split it"
        if any(isinstance(block, int) for block in cycle if block != index)
        else (f"add {_named(between)} to it, or split it")
    )
    return SpecFault(
        f"load_groups: {said} between steps of the group {group}, which therefore cannot be loaded at once; {remedy}",
        ("load_groups", index),
    )


def _named(steps: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in steps)
