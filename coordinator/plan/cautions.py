"""What is right as far as a spec goes, and may all the same not be what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.building.columns import declared_columns
from common.building.data_files import named_files
from common.building.stand_in import StandIn, Undescribed
from common.errors import SpecFault
from common.steps.metadata import METADATA
from coordinator.plan.load import Prepared


def cautions(prepared: Prepared) -> Iterator[str]:
    """One line each, with file and line of the spec."""
    for fault in [*_overwritten(prepared), *_unwatched_files(prepared)]:
        yield str(prepared.source.error(fault))


def _unwatched_files(prepared: Prepared) -> Iterator[SpecFault]:
    """Files of which nobody would notice that they change."""
    for name, step in prepared.steps.items():
        if isinstance(step, StandIn | Undescribed):
            continue
        for parameter, value in prepared.spec.steps[name].params.items():
            items = value if isinstance(value, list) else [value]
            paths = [prepared.folder / item for item in items if isinstance(item, str) and item]
            for path in named_files(paths) if parameter not in type(step).path_fields else ():
                yield SpecFault(
                    f"step '{name}': '{parameter}' names the file {_shown(path, prepared.folder)}, and is no path "
                    f"field of {type(step).__name__}: when that file changes, the run stays the same; put "
                    f"'{parameter}' into the class's path_fields if the step reads it",
                    ("steps", name, parameter),
                )


def _shown(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _overwritten(prepared: Prepared) -> Iterator[SpecFault]:
    """Columns that are in the rows before a step, and that it writes anew, as if they were its own."""
    columns = prepared.columns()
    for name, planned in prepared.plan.steps.items():
        step = prepared.steps[name]
        taken = {column for before in planned.predecessors for column in columns[before] or ()}
        written = declared_columns(step, "outputs").keys() - declared_columns(step, "inputs").keys()
        for column in sorted(written - step.output_mappings.keys() - {METADATA}):
            if column in taken:
                yield SpecFault(
                    f"step '{name}' overwrites the column '{column}', which its input has already; keep both with "
                    f"output_mappings: {{{column}: another_name}}, or say that this is meant: "
                    f"output_mappings: {{{column}: {column}}}",
                    ("steps", name),
                )
