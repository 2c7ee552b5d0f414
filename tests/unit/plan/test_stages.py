"""Stages: what is loaded together, in which order, and which load groups cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SpecFault
from coordinator.plan.plan import Plan
from coordinator.plan.stages import SEQUENTIAL, Stages, find_stages
from tests.support.fold.fold_words import generator, global_step, step
from tests.support.steps.sample_pipelines import LOAD, Steps, fault, plan

Graph = dict[str, tuple[str, ...]]

CHAIN: Graph = {"load": (), "a": ("load",), "b": ("a",), "c": ("b",), "d": ("c",)}
FORK: Graph = {"load": (), "a": ("load",), "b": ("load",), "join": ("a", "b"), "keep": ("join",)}


def test_a_pipeline_without_groups_and_global_steps_is_one_stage() -> None:
    assert find_stages(FORK, []) == (("load", "a", "b", "join", "keep"),)


def test_a_global_step_is_a_stage_between_those_before_and_behind_it() -> None:
    assert find_stages(CHAIN, ["b"]) == (("load", "a"), ("b",), ("c", "d"))


def test_a_global_step_at_the_end_is_the_last_stage() -> None:
    assert find_stages(CHAIN, ["d"]) == (("load", "a", "b", "c"), ("d",))


def test_steps_that_do_not_need_the_global_step_share_the_stage_before_it() -> None:
    graph = {**CHAIN, "other": ("a",), "leaf": ("other",)}
    assert find_stages(graph, ["b"]) == (("load", "a", "other", "leaf"), ("b",), ("c", "d"))


def test_a_group_is_a_stage_between_those_before_and_behind_it() -> None:
    assert find_stages(CHAIN, [], [["a", "b"]]) == (("load",), ("a", "b"), ("c", "d"))


def test_a_group_may_begin_with_a_generator_step() -> None:
    assert find_stages(CHAIN, [], [["load", "a"], ["c"]]) == (("load", "a"), ("b",), ("c",), ("d",))


def test_steps_of_a_group_come_in_the_order_of_the_pipeline() -> None:
    assert find_stages(CHAIN, [], [["b", "a"]]) == (("load",), ("a", "b"), ("c", "d"))


def test_groups_that_need_not_wait_for_each_other_are_loaded_in_the_order_in_which_they_are_given() -> None:
    assert find_stages(FORK, [], [["b"], ["a"]]) == (("load",), ("b",), ("a",), ("join", "keep"))
    assert find_stages(FORK, [], [["a"], ["b"]]) == (("load",), ("a",), ("b",), ("join", "keep"))


def test_a_global_step_comes_after_groups_that_need_not_wait_for_it() -> None:
    assert find_stages(FORK, ["a"], [["b"]]) == (("load",), ("b",), ("a",), ("join", "keep"))


def test_a_group_that_follows_a_group_has_no_stage_between() -> None:
    assert find_stages(CHAIN, [], [["c", "d"], ["a", "b"]]) == (("load",), ("a", "b"), ("c", "d"))


def test_a_global_step_may_be_named_as_a_group_of_its_own() -> None:
    assert find_stages(CHAIN, ["b"], [["b"]]) == find_stages(CHAIN, ["b"])


def test_steps_of_a_group_need_no_edges_among_them() -> None:
    assert find_stages(FORK, [], [["a", "b"]]) == (("load",), ("a", "b"), ("join", "keep"))


def test_sequential_execution_is_one_step_per_stage_in_the_order_of_the_pipeline() -> None:
    assert find_stages(FORK, ["join"], SEQUENTIAL) == (("load",), ("a",), ("b",), ("join",), ("keep",))


def test_no_groups_are_the_same_as_an_empty_list_of_them() -> None:
    assert find_stages(FORK, [], []) == find_stages(FORK, [])


# what cannot be


@pytest.mark.parametrize(
    ("groups", "place", "words"),
    [
        ([["a"], []], (1,), "load_groups: this group has no steps; add steps, or remove the group"),
        ([["a", "bb"]], (0, 1), "load_groups: there is no step 'bb'; did you mean 'b'?"),
        ([["a"], ["c", "a"]], (1, 1), "load_groups: step 'a' is named twice; a step can be in only one group"),
        (
            [["a", "b"]],
            (0, 1),
            "load_groups: 'b' is a global step, which is loaded alone, since it begins when all rows are there; "
            "remove it from the group",
        ),
        (
            [["load", "a"], ["c", "e"]],
            (1,),
            "load_groups: 'd' stands between steps of the group 'c', 'e', which therefore cannot be loaded at once; "
            "add 'd' to it, or split it",
        ),
        (
            [["load", "c"]],
            (0,),
            "load_groups: 'a', 'b' stand between steps of the group 'load', 'c', which therefore cannot be loaded at "
            "once; split it",
        ),
    ],
)
def test_a_group_that_cannot_be_a_stage_is_refused(groups: list[list[str]], place: tuple[int, ...], words: str) -> None:
    with pytest.raises(SpecFault) as caught:
        find_stages({**CHAIN, "e": ("d",)}, ["b"], groups)
    assert (caught.value.message, caught.value.loc) == (words, ("load_groups", *place))


def test_groups_that_need_each_other_are_refused() -> None:
    graph = {"l": (), "a": ("l",), "b": ("a",), "c": ("l",), "d": ("c",)}
    with pytest.raises(SpecFault) as caught:
        find_stages(graph, [], [["a", "d"], ["b", "c"]])
    assert caught.value.message == (
        "load_groups: the group 'a', 'd' and the group 'b', 'c' each need rows from the other, so neither can be "
        "loaded first; merge the two groups, or split them"
    )
    assert caught.value.loc == ("load_groups", 0)


# the plan


STEPS: Steps = {
    "load": LOAD,
    "a": {"type": "Upper", "after": "load"},
    "all": {"type": "All", "after": "a"},
    "b": {"type": "Upper", "after": "all"},
}


def test_a_plan_knows_its_stages() -> None:
    assert plan(STEPS).load_stages == [["load", "a"], ["all"], ["b"]]
    assert plan(STEPS, load_groups=[["load"]]).load_stages == [["load"], ["a"], ["all"], ["b"]]
    assert plan(STEPS, load_groups=SEQUENTIAL).load_stages == [["load"], ["a"], ["all"], ["b"]]


def test_a_plan_is_not_made_of_groups_that_cannot_be_stages() -> None:
    assert fault(STEPS, load_groups=[["load"], ["a", "all"]]).loc == ("load_groups", 1, 1)


def test_what_waits_for_a_later_stage_is_known() -> None:
    steps = [generator("g"), step("a", "g"), step("b", "a"), global_step("all", "b"), step("c", "all"), step("d", "a")]
    by_name = {one.name: one for one in steps}
    assert [name for name in by_name if Plan(by_name).waits_for_a_stage(name)] == ["b", "all"]
    grouped = Plan(by_name, (("g",), ("a",), ("b", "d"), ("all",), ("c",)))
    assert [name for name in by_name if grouped.waits_for_a_stage(name)] == ["g", "a", "b", "all"]


# properties


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, set[str], list[list[str]]]:
    """A graph of up to ten steps, those of them that are global, and some groups of the others."""
    count = draw(st.integers(1, 10))
    graph: Graph = {}
    for number in range(count):
        before = draw(st.lists(st.sampled_from(sorted(graph)), max_size=3, unique=True)) if graph else []
        graph[f"s{number}"] = tuple(before)
    names = list(graph)
    global_steps = {name for name in names if graph[name] and draw(st.integers(0, 4)) == 0}
    home = {name: draw(st.sampled_from((-1, -1, 0, 1, 2))) for name in names if name not in global_steps}
    groups = [[name for name, group in home.items() if group == number] for number in range(3)]
    return graph, global_steps, [group for group in groups if group]


def reaches(graph: Graph, blocks: dict[str, str]) -> dict[str, set[str]]:
    """Block -> the blocks that rows of it may get to, the slow way."""
    reached: dict[str, set[str]] = {block: set() for block in blocks.values()}
    changed = True
    while changed:
        changed = False
        for name, before in graph.items():
            for other in before:
                source, target = blocks[other], blocks[name]
                new = ({target} if source != target else set()) | reached[target]
                if not new <= reached[source]:
                    reached[source] |= new
                    changed = True
    return reached


def check(stages: Stages, graph: Graph) -> None:
    number = {name: place for place, stage in enumerate(stages) for name in stage}
    assert sorted(name for stage in stages for name in stage) == sorted(graph), "each step is in one stage"
    assert all(stages)
    assert all(number[other] <= number[name] for name, before in graph.items() for other in before)


@given(graphs())
def test_every_edge_leads_to_the_same_stage_or_to_a_later_one(given_: tuple[Graph, set[str], list[list[str]]]) -> None:
    graph, global_steps, groups = given_
    blocks = {name: next((f"group {group}" for group in groups if name in group), name) for name in graph}
    impossible = any(block in reached for block, reached in reaches(graph, blocks).items())
    if impossible:
        with pytest.raises(SpecFault, match=r"split (it|them)"):
            find_stages(graph, global_steps, groups)
        return
    stages = find_stages(graph, global_steps, groups)
    check(stages, graph)
    whole = {frozenset(stage) for stage in stages}
    assert all(frozenset(group) in whole for group in groups), "a group is a stage, and nothing else is in it"
    assert all(frozenset([name]) in whole for name in global_steps), "a global step is alone"


@given(graphs())
def test_sequential_stages_are_stages_too(given_: tuple[Graph, set[str], list[list[str]]]) -> None:
    graph, global_steps, _ = given_
    stages = find_stages(graph, global_steps, SEQUENTIAL)
    check(stages, graph)
    assert all(len(stage) == 1 for stage in stages)


@given(graphs())
def test_steps_without_a_boundary_between_them_share_a_stage(given_: tuple[Graph, set[str], list[list[str]]]) -> None:
    graph, _, _ = given_
    assert find_stages(graph, []) == (tuple(graph),)
