"""Which steps are inside of routing branches, and where the branches meet again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.faults import SpecFault, hint
from common.spec import PipelineSpec
from common.steps.base import BaseStep, GlobalStep
from coordinator.plan import Scope

SAMPLE_N_STEPS = "sample_n_steps"


def check_routing(spec: PipelineSpec, successors: Mapping[str, Sequence[str]]) -> None:
    """Raises SpecFault: a routing of an unknown step, by an unknown function, or to no or too few steps."""
    for name, routing in spec.routing.items():
        loc = ("routing", name)
        if name not in spec.steps:
            raise SpecFault(f"routing: there is no step '{name}'{hint(name, spec.steps, 'the steps are')}", loc)
        if not successors[name]:
            raise SpecFault(f"routing: no step comes after '{name}', so there is nothing to route its batches to", loc)
        if ":" in routing.function:
            continue
        if routing.function != SAMPLE_N_STEPS:
            raise SpecFault(
                f"routing of '{name}': there is no function '{routing.function}'"
                f"{hint(routing.function, [SAMPLE_N_STEPS], 'there is')} (one of your own is written module:function)",
                (*loc, "function"),
            )
        count = routing.params.get("n")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= len(successors[name]):
            given = "has no 'n'" if count is None else f"has n: {count!r}"
            raise SpecFault(
                f"routing of '{name}': {SAMPLE_N_STEPS} {given}; "
                f"n is a number of steps, 1 to {len(successors[name])} here",
                (*loc, "n"),
            )


def find_scopes(
    steps: Mapping[str, BaseStep], predecessors: Mapping[str, Sequence[str]], routing: Mapping[str, object]
) -> dict[str, tuple[Scope, str | None]]:
    """The scope of each step, and the routing step whose branches it joins.

    Args:
        steps: in an order in which each step comes after its predecessors.
        routing: its keys are the routing steps.

    Raises:
        SpecFault: a step joins rows that do not belong together: a branch with what is outside of it.
    """
    found: dict[str, tuple[Scope, str | None]] = {}
    for name, step in steps.items():
        before = predecessors[name]
        if isinstance(step, GlobalStep) or not before:
            found[name] = ((), None)
            continue
        scopes = [found[other][0] for other in before]
        if router := next((other for other in before if other in routing), None):
            if len(before) > 1:
                raise _routed_join(name, router, before)
            found[name] = ((*found[router][0], (router, name)), None)
        elif len(set(scopes)) == 1:
            found[name] = (scopes[0], None)
        elif _branches_of_one(scopes):
            found[name] = (scopes[0][:-1], scopes[0][-1][0])
        else:
            raise _mixed(name, before, scopes)
    return found


def _branches_of_one(scopes: Sequence[Scope]) -> bool:
    """Are these branches of one routing step, none of them nested deeper than the others?"""
    return all(scopes) and len({scope[-1][0] for scope in scopes}) == 1


def _routed_join(name: str, router: str, before: Sequence[str]) -> SpecFault:
    others = ", ".join(f"'{other}'" for other in before if other != router)
    return SpecFault(
        f"step '{name}' gets routed batches of '{router}' and so cannot come after {others} as well; take '{router}' "
        f"or {others} out of its 'after', or join the rows in a step further down",
        ("steps", name, "after"),
    )


def _mixed(name: str, before: Sequence[str], scopes: Sequence[Scope]) -> SpecFault:
    # The deepest branch is the one that has to be closed before anything else can be joined with it.
    deepest = max(range(len(before)), key=lambda index: len(scopes[index]))
    router, branch = scopes[deepest][-1]
    other = next(before[index] for index in range(len(before)) if scopes[index] != scopes[deepest])
    return SpecFault(
        f"step '{name}' joins '{before[deepest]}' with '{other}', but '{before[deepest]}' has only the batches that "
        f"'{router}' routes to '{branch}', so the rows do not belong together; join the branches of '{router}' in a "
        "step of their own first, or put a global step between",
        ("steps", name, "after"),
    )
