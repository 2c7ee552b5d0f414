"""Checks that a journal entry fits the pipeline. Workers write only such entries: anything else is foreign."""

from __future__ import annotations

from common.protocol.batch import Entry, PartWritten, Reopened, Result, Routed
from coordinator.plan.plan import Plan


def what_is_foreign(entry: Entry, plan: Plan) -> str:
    """Why the entry cannot come from a worker or coordinator of this run; empty if it can."""
    if isinstance(entry, Reopened):
        return ""
    step = plan.steps.get(entry.step)
    if step is None:
        return f"the pipeline has no step '{entry.step}'"
    if isinstance(entry, PartWritten) and entry.step not in plan.leaves:
        return f"it is about a part of step '{entry.step}', which is not a leaf"
    if isinstance(entry, Routed):
        return _choices([entry.successors], entry.step, plan)
    if isinstance(entry, Result):
        if step.kind != "global" and len(entry.chunks) > 1:
            return f"step '{entry.step}' stores one output at a time, not {len(entry.chunks)}"
        if step.kind == "global" and entry.seq:
            return f"step '{entry.step}' has one batch, not a batch {entry.seq}"
        return _choices(entry.routed or (), entry.step, plan)
    return ""


def _choices(chosen: tuple[tuple[str, ...], ...] | list[tuple[str, ...]], step: str, plan: Plan) -> str:
    known = set(plan.successors(step))
    others = [name for names in chosen for name in names if name not in known]
    return f"step '{step}' has no successor '{others[0]}'" if others else ""
