"""Checks what a run with local workers needs on this host before anything is started: files, keys, options."""

from __future__ import annotations

from collections.abc import Callable, Collection

from common.building.components import models_in
from common.errors import Loc, SpecFault, UsageError
from coordinator.plan.load import Prepared


def check_host(prepared: Prepared, given: Collection[str] = ()) -> None:
    """Asks the steps and their models, which know what they need.

    Args:
        given: places of secrets that a program has passed, such as `ask.llm.api_key`; their models have a key.

    Raises:
        SpecError: something is missing; names file and line.
    """
    owners = {place.rpartition(".")[0] for place in given}
    for name, step in prepared.steps.items():
        if name in prepared.undescribed:
            continue
        _check(step.check_here, f"step '{name}'", ("steps", name, *step.path_fields[:1]), prepared)
        for place, model in models_in(step):
            if ".".join(map(str, (name, *place))) not in owners:
                _check(model.check_here, f"step '{name}'", ("steps", name, *place), prepared)


def _check(look: Callable[[], None], what: str, loc: Loc, prepared: Prepared) -> None:
    try:
        look()
    except UsageError as error:
        raise prepared.source.error(SpecFault(f"{what}: {error}", loc)) from None
    except Exception:  # an unreachable file system or a damaged file: the run itself reports it and retries
        return
