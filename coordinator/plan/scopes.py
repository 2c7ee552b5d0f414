"""Which steps are inside routing branches, and where the branches meet again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.building.stand_in import Undescribed
from common.errors import SpecFault, UsageError
from common.routing import RoutingBatchFunction
from common.steps.base import BaseStep, GlobalStep
from common.words.faults import hint
from coordinator.plan.plan import Scope


def check_routing(routing: Mapping[str, RoutingBatchFunction], successors: Mapping[str, Sequence[str]]) -> None:
    """Raises SpecFault for a routing from an unknown step, to too few steps, or by a function that lacks an option.

    Args:
        successors: those of every step.
    """
    for name, function in routing.items():
        loc = ("routing", name)
        if name not in successors:
            raise SpecFault(f"routing: there is no step '{name}'{hint(name, successors, 'the steps are')}", loc)
        if not successors[name]:
            raise SpecFault(f"routing: no step comes after '{name}', so its batches cannot be routed", loc)
        try:
            function.check(name, successors[name])
        except UsageError as error:
            raise SpecFault(f"routing of '{name}': {error}", loc) from error


def find_scopes(
    steps: Mapping[str, BaseStep], predecessors: Mapping[str, Sequence[str]], routing: Mapping[str, object]
) -> dict[str, tuple[Scope, str | None]]:
    """The scope of each step, and the routing step whose branches it joins.

    Args:
        steps: in an order in which each step comes after its predecessors.
        routing: its keys are the routing steps.

    Raises:
        SpecFault: a step joins rows that do not belong together: a branch with something outside it.
    """
    found: dict[str, tuple[Scope, str | None]] = {}
    unknown: set[str] = set()
    for name, step in steps.items():
        before = predecessors[name]
        if isinstance(step, GlobalStep) or not before:
            found[name] = ((), None)
            continue
        if isinstance(step, Undescribed) or unknown.intersection(
            before
        ):  # it may be global, and would then end all branches
            unknown.add(name)
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
    """Whether these are branches of one routing step, none nested deeper than the others."""
    return all(scopes) and len({scope[-1][0] for scope in scopes}) == 1


def _routed_join(name: str, router: str, before: Sequence[str]) -> SpecFault:
    others = ", ".join(f"'{other}'" for other in before if other != router)
    return SpecFault(
        f"step '{name}' gets routed batches from '{router}' and so cannot also come after {others}; remove '{router}' "
        f"or {others} from its 'after', or join the rows in a later step",
        ("steps", name, "after"),
    )


def _mixed(name: str, before: Sequence[str], scopes: Sequence[Scope]) -> SpecFault:
    # The deepest branch must be closed before anything else can be joined with it.
    deepest = max(range(len(before)), key=lambda index: len(scopes[index]))
    router, branch = scopes[deepest][-1]
    other = next(before[index] for index in range(len(before)) if scopes[index] != scopes[deepest])
    return SpecFault(
        f"step '{name}' joins '{before[deepest]}' with '{other}', but '{before[deepest]}' has only the batches that "
        f"'{router}' routes to '{branch}', so the rows do not belong together; first join the branches of '{router}' "
        "in a separate step, or put a global step in between",
        ("steps", name, "after"),
    )
