"""What `info` says about a pipeline: its graph, and each step with its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from common.parameters.runtime_parameters import is_runtime_parameter, parameter_keys
from common.steps.base import BaseStep, StepColumns
from common.words.printable import one_line
from common.words.redaction import hide_passwords
from common.words.wording import count
from coordinator.plan.load import Prepared
from coordinator.plan.plan import Plan
from coordinator.view.graph_drawing import draw_graph

SHOWN_VALUE = 60
RUNTIME_MARK = "*"
MISSING = "required"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a step or of something inside it.

    Args:
        name: as `--set` takes it, without the step: `llm.model`.
        value: as text; empty if the default applies.
        default: as text; empty if there is none and the parameter is required.
        runtime: whether it is a runtime parameter.
    """

    name: str
    value: str
    default: str
    runtime: bool
    description: str


def describe(prepared: Prepared) -> Group:
    """The whole pipeline."""
    spec, plan = prepared.spec, prepared.plan
    columns = prepared.columns()
    edges = sum(len(step.predecessors) for step in plan.steps.values())
    parts: list[RenderableType] = [
        Text.assemble((spec.name, "bold"), f": {count(len(plan.steps), 'step')}, {count(edges, 'edge')}"),
        *([Text(spec.description.strip())] if spec.description else []),
        Padding(draw_graph(plan), (1, 0, 1, 0)),
        *_stages(plan),
    ]
    for name in plan.steps:
        parts += [_heading(prepared, name), Padding(_step(prepared, name, columns[name]), (0, 0, 1, 2))]
    parts.append(Text("Every step also has these parameters:"))
    parts.append(Padding(_parameter_table(list(_common_parameters())), (0, 0, 1, 2)))
    parts.append(Text(f"{RUNTIME_MARK} is a runtime parameter; to set any parameter: run SPEC --set STEP.PARAM=VALUE"))
    return Group(*parts)


def _stages(plan: Plan) -> list[RenderableType]:
    """Which steps are loaded together, unless all of them are."""
    if len(plan.stages) == 1:
        return []
    stages = Table.grid(padding=(0, 2, 0, 0))
    stages.add_column(style="dim", no_wrap=True)
    stages.add_column()
    for number, stage in enumerate(plan.stages, 1):
        stages.add_row(f"stage {number}", ", ".join(stage))
    return [Text("Its steps are loaded in stages, one after another:"), Padding(stages, (0, 0, 1, 2))]


def parameters(model: BaseModel, given: Mapping[str, Any], prefix: str = "") -> Iterator[Parameter]:
    """The parameters of a built step, including those of what is inside it (an LLM).

    Args:
        given: what the spec says.
    """
    for name, field in type(model).model_fields.items():
        spec_name = field.alias or name
        if (not prefix and name in BaseStep.model_fields and spec_name not in given) or name == "name" or field.exclude:
            continue
        value, written = getattr(model, name), given.get(spec_name)
        if isinstance(value, BaseModel):
            inner = written if isinstance(written, Mapping) else {}
            if "type" in inner:
                yield Parameter(f"{prefix}{spec_name}.type", str(inner["type"]), "", False, _description(field))
            nested = parameters(value, inner, f"{prefix}{spec_name}.")
            yield from (each for each in nested if each.value or spec_name != "resources")
        else:
            shown_name = prefix + spec_name
            yield _parameter(shown_name, field, value if written is None else written)
            for key, optional in parameter_keys(model, name):
                given_value = _shown(value[key]) if key in value else "" if optional else MISSING
                yield Parameter(f"{shown_name}.{key}", given_value, "", True, "")


def _common_parameters() -> Iterator[Parameter]:
    for name, field in BaseStep.model_fields.items():
        if name == "name":
            continue
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            for inner, inner_field in type(default).model_fields.items():
                yield _parameter(f"{name}.{inner}", inner_field, getattr(default, inner))
        else:
            yield _parameter(name, field, default)


def _parameter(name: str, field: FieldInfo, value: Any) -> Parameter:
    runtime = is_runtime_parameter(field)
    missing = runtime and value is None and field.is_required()
    shown, default = MISSING if missing else _shown(value), _default(field)
    return Parameter(name, shown if shown != default else "", default, runtime, _description(field))


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "" if field.default_factory_takes_validated_data else _shown(field.default_factory())  # type: ignore[call-arg]
    return "" if field.default is PydanticUndefined else _shown(field.default)


def _description(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(secret)"
    if isinstance(value, str):
        return one_line(hide_passwords(value), SHOWN_VALUE) or '""'
    if isinstance(value, (list, tuple)) and len(value) > 3 and isinstance(value[0], dict):
        return f"({count(len(value), 'row')})"
    return one_line(repr(list(value) if isinstance(value, tuple) else value), SHOWN_VALUE)


def _heading(prepared: Prepared, name: str) -> Text:
    step = prepared.steps[name]
    kind = {"step": "", "async": "  asynchronous step", "generator": "  generator step", "global": "  global step"}
    leaf = "  leaf" if name in prepared.plan.leaves else ""
    return Text.assemble((name, "bold cyan"), "  ", prepared.spec.steps[name].type, (kind[step.kind] + leaf, "dim"))


def _step(prepared: Prepared, name: str, leaving: set[str] | None) -> Group:
    step, plan = prepared.steps[name], prepared.plan.steps[name]
    given = prepared.spec.steps[name].params
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    known = [
        ("after", ", ".join(plan.predecessors)),
        ("reads", _mapped(step.inputs, step.input_mappings, "{1} as {0}")),
        ("writes", _mapped(step.outputs, step.output_mappings, "{0} as {1}")),
        ("columns", "depend on the data" if leaving is None else ", ".join(sorted(leaving))),
        ("routing", _routing(prepared, name)),
    ]
    for what, words in known:
        if words:
            facts.add_row(what, words)
    lines: list[RenderableType] = []
    if name in prepared.undescribed:
        facts.add_row("class", f"can only be checked by one of its workers: {prepared.undescribed[name]}")
        found = [Parameter(parameter, _shown(value), "", False, "") for parameter, value in given.items()]
        return Group(facts, Text(), _parameter_table(found)) if found else Group(facts)
    if purpose := (inspect.getdoc(type(step)) or "").split("\n\n")[0]:
        lines.append(Text(" ".join(purpose.split()), "italic"))
    lines.append(facts)
    if found := list(parameters(step, given)):
        lines += [Text(), _parameter_table(found)]
    return Group(*lines)


def _routing(prepared: Prepared, name: str) -> str:
    routing = prepared.spec.routing.get(name)
    if routing is None:
        return ""
    options = ", ".join(f"{option}: {_shown(value)}" for option, value in routing.params.items())
    reads = ", reads the rows" if prepared.routing[name].reads_rows else ""
    return f"{routing.function}{f' ({options})' if options else ''}{reads}"


def _mapped(columns: StepColumns, mappings: Mapping[str, str], form: str) -> str:
    optional = {column for column, required in columns.items() if not required} if isinstance(columns, dict) else set()
    return ", ".join(
        (form.format(column, mappings[column]) if mappings.get(column, column) != column else column)
        + (" (optional)" if column in optional else "")
        for column in columns
    )


def _parameter_table(found: list[Parameter]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("parameter", no_wrap=True)
    table.add_column("value", ratio=3, overflow="fold", style="bold")
    table.add_column("default", ratio=2, overflow="fold", style="dim")
    table.add_column("what it is", ratio=5)
    for each in found:
        name = Text.assemble(each.name, (f" {RUNTIME_MARK}" if each.runtime else "", "yellow"))
        table.add_row(name, Text(each.value), Text(each.default), Text(each.description))
    return table
