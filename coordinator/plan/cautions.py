"""Finds what is valid in a spec but may be unintended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.building.columns import declared_columns
from common.building.data_files import named_files
from common.building.stand_in import StandIn, Undescribed
from common.errors import SpecFault
from common.steps.metadata import METADATA
from common.steps.skip_rule import SkipRule
from common.steps.tasks.conversation import SYSTEM_PROMPT, USE_ROW_PROMPT
from coordinator.plan.load import Prepared


def cautions(prepared: Prepared) -> Iterator[str]:
    """One line per finding, with file and line of the spec."""
    for fault in [*_overwritten(prepared), *_unwatched_files(prepared), *_replaced_prompts(prepared)]:
        yield str(prepared.source.error(fault))


def _unwatched_files(prepared: Prepared) -> Iterator[SpecFault]:
    """Files whose changes would go unnoticed."""
    for name, step in prepared.steps.items():
        if isinstance(step, StandIn | Undescribed):
            continue
        for parameter, value in prepared.spec.steps[name].params.items():
            items = value if isinstance(value, list) else [value]
            paths = [prepared.folder / item for item in items if isinstance(item, str) and item]
            for path in named_files(paths) if parameter not in type(step).path_fields else ():
                yield SpecFault(
                    f"step '{name}': '{parameter}' names the file {_shown(path, prepared.folder)}, and is not a path "
                    f"field of {type(step).__name__}: a change of that file does not make a new run; if the step "
                    f"reads it, add '{parameter}' to the path_fields of the class",
                    ("steps", name, parameter),
                )


def _shown(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _replaced_prompts(prepared: Prepared) -> Iterator[SpecFault]:
    """Tasks that get the system prompt of each row without the spec saying so, although it may be meant for another."""
    columns = prepared.columns()
    used: dict[str, str] = {}  # step -> the nearest task at it or before it that uses the rows' system prompts
    for name, planned in prepared.plan.steps.items():
        step = prepared.steps[name]
        before = next((used[other] for other in planned.predecessors if other in used), "")
        if before:
            used[name] = before
        if isinstance(step, StandIn | Undescribed) or not getattr(step, USE_ROW_PROMPT, False):
            continue
        column = step.input_mappings.get(SYSTEM_PROMPT, SYSTEM_PROMPT)
        if not any(column in (columns[other] or ()) for other in planned.predecessors):
            continue
        used[name] = name
        own = getattr(step, SYSTEM_PROMPT, None)
        if USE_ROW_PROMPT not in step.model_fields_set and (own or before):
            what = "instead of its own system_prompt" if own else f"as step '{before}' does before it"
            yield SpecFault(
                f"step '{name}' sends each row's column '{column}' as the system prompt, {what}; to leave it out, set "
                f"{USE_ROW_PROMPT}: false, or if this is intended, {USE_ROW_PROMPT}: true",
                ("steps", name),
            )


def _overwritten(prepared: Prepared) -> Iterator[SpecFault]:
    """Columns that are in the input of a step and that the step overwrites with its own."""
    columns = prepared.columns()
    for name, planned in prepared.plan.steps.items():
        step = prepared.steps[name]
        taken = {column for before in planned.predecessors for column in columns[before] or ()}
        written = declared_columns(step, "outputs").keys() - declared_columns(step, "inputs").keys()
        if rule := SkipRule.of(step):
            written -= set(rule.columns)  # rows that have it already may be what the step leaves out
        for column in sorted(written - step.output_mappings.keys() - {METADATA}):
            if column in taken:
                yield SpecFault(
                    f"step '{name}' overwrites the column '{column}', which its input already has; to keep both, use "
                    f"output_mappings: {{{column}: another_name}}, or if this is intended, "
                    f"output_mappings: {{{column}: {column}}}",
                    ("steps", name),
                )
