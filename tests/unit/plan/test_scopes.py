"""Routing: the branches that steps are in, where the branches meet, and what cannot be joined."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.steps.sample_pipelines import LOAD, Steps, fault, plan

ROUTING = {"load": {"function": "sample_n_steps", "n": 1}}


def routed(**more: dict[str, Any]) -> Steps:
    return {"load": LOAD, "a": {"type": "Upper", "after": "load"}, "b": {"type": "Upper", "after": "load"}, **more}


def test_branches_have_a_scope_until_they_converge() -> None:
    found = plan(
        routed(
            a1={"type": "Ask", "after": "a"},
            inner={"type": "Join", "after": ["a", "a1"]},
            meet={"type": "Join", "after": ["inner", "b"]},
            tail={"type": "Upper", "after": "meet"},
        ),
        routing=ROUTING,
    ).steps
    assert [name for name, step in found.items() if step.routed] == ["load"]
    in_a, in_b = (("load", "a"),), (("load", "b"),)
    assert {name: step.scope for name, step in found.items()} == {
        "load": (), "a": in_a, "a1": in_a, "inner": in_a, "b": in_b, "meet": (), "tail": ()
    }  # fmt: skip
    assert {name: step.converges for name, step in found.items() if step.converges} == {"meet": "load"}


def test_branches_nest() -> None:
    found = plan(
        routed(
            x={"type": "Upper", "after": "a"},
            y={"type": "Upper", "after": "a"},
            inner={"type": "Join", "after": ["x", "y"]},
            meet={"type": "Join", "after": ["inner", "b"]},
        ),
        routing=ROUTING | {"a": {"function": "sample_n_steps", "n": 2}},
    ).steps
    assert found["x"].scope == (("load", "a"), ("a", "x"))
    assert (found["inner"].scope, found["inner"].converges) == ((("load", "a"),), "a")
    assert (found["meet"].scope, found["meet"].converges) == ((), "load")


def test_a_global_step_is_outside_of_all_branches() -> None:
    found = plan(
        routed(all={"type": "All", "after": ["load", "a"]}, up={"type": "Upper", "after": "all"}), routing=ROUTING
    ).steps
    assert (found["all"].scope, found["all"].converges) == ((), None)
    assert found["up"].scope == ()


MIXED = (
    "step 'meet' joins 'a' with 'other', but 'a' has only the batches that 'load' routes to 'a', so the rows do not "
    "belong together; first join the branches of 'load' in a separate step, or put a global step in between"
)


def test_a_branch_cannot_be_joined_with_what_is_outside_of_it() -> None:
    steps = routed(other=LOAD, meet={"type": "Join", "after": ["a", "other"]})
    found = fault(steps, routing=ROUTING)
    assert (found.message, found.loc) == (MIXED, ("steps", "meet", "after"))


def test_a_branch_cannot_be_joined_with_a_deeper_one() -> None:
    steps = routed(
        x={"type": "Upper", "after": "a"}, y={"type": "Upper", "after": "a"}, meet={"type": "Join", "after": ["x", "b"]}
    )
    found = fault(steps, routing=ROUTING | {"a": {"function": "sample_n_steps", "n": 1}})
    assert found.message.startswith(
        "step 'meet' joins 'x' with 'b', but 'x' has only the batches that 'a' routes to 'x'"
    )


def test_a_routed_step_has_one_predecessor() -> None:
    found = fault(routed(meet={"type": "Join", "after": ["a", "load"]}), routing=ROUTING)
    assert found.message == (
        "step 'meet' gets routed batches from 'load' and so cannot also come after 'a'; remove 'load' or 'a' from "
        "its 'after', or join the rows in a later step"
    )


@pytest.mark.parametrize(
    ("routing", "loc", "expected"),
    [
        (
            {"loda": {"function": "sample_n_steps", "n": 1}},
            ("routing", "loda"),
            "routing: there is no step 'loda'; did you mean 'load'?",
        ),
        (
            {"a": {"function": "sample_n_steps", "n": 1}},
            ("routing", "a"),
            "routing: no step comes after 'a', so its batches cannot be routed",
        ),
        (
            {"load": {"function": "sample_steps"}},
            ("routing", "load", "function"),
            "routing of 'load': there is no function 'sample_steps'; did you mean 'sample_n_steps'? "
            "(write your own as module:function)",
        ),
        (
            {"load": {"function": "sample_n_steps", "n": 3}},
            ("routing", "load"),
            "routing of 'load': 'sample_n_steps' (n: 3, seed: 0) needs 3 steps to choose from; "
            "only 2 come after 'load'",
        ),
        (
            {"load": {"function": "sample_n_steps"}},
            ("routing", "load"),
            "routing of 'load': 'sample_n_steps' needs its option 'n'",
        ),
    ],
)
def test_a_wrong_routing_is_one_message(routing: dict[str, Any], loc: tuple[str, ...], expected: str) -> None:
    found = fault(routed(), routing=routing)
    assert (found.message, found.loc) == (expected, loc)
