"""Writes steps.md, the reference of the built-in steps, from their classes.

python docs/make_steps_page.py
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common.registry import LLMS, STEPS, resolve_llm, resolve_step
from common.runtime_parameters import is_runtime_parameter
from common.steps.base import (
    AsyncStep,
    BaseStep,
    GeneratorStep,
    GlobalStep,
    Step,
    StepResources,
)

PAGE = Path(__file__).with_name("steps.md")
KINDS: dict[type[BaseStep], str] = {
    GeneratorStep: "generator step",
    GlobalStep: "global step",
    AsyncStep: "asynchronous step",
    Step: "step",
}
"""What a class is called by its kind; GlobalStep before Step, of which it is one."""
OF_A_KIND = ("batch_size", "input_batch_size", "concurrency")
IN_A_GLOBAL_STEP = "Rows of each piece in which its output is stored; the step itself gets all rows at once."
HEAD = """\
# Built-in steps

<!-- Written by docs/make_steps_page.py from the classes; change those, then run it again. -->

What each built-in step does and takes. [spec.md](spec.md) says how a step is written down. `pipeline-coordinator info
SPEC` shows the same for the steps of a spec, those of your own among them.
"""
COLUMNS = "| parameter | type | default | what it is |\n|---|---|---|---|"


def steps_page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in STEPS:
        cls = resolve_step(name)
        kind = next(word for base, word in KINDS.items() if issubclass(cls, base))
        parts.append(f"## {name}\n\n_{kind.capitalize()}._ {_prose(cls)}\n")
        parts.append(_table(cls, leave_out={*BaseStep.model_fields, *OF_A_KIND}))
    parts += ["## Parameters that every step has\n", _table(BaseStep, leave_out={"name", "resources"})]
    parts += ["`resources` is a mapping:\n", _table(StepResources)]
    parts += ["These depend on the kind of the step:\n", _kinds()]
    parts += ["## Language models\n", "What `llm` of a `TextGeneration` takes, beside `type`.\n"]
    for name in LLMS:
        parts += [f"### {name}\n\n{_prose(resolve_llm(name))}\n", _table(resolve_llm(name))]
    return "\n".join(parts)


def _prose(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _table(cls: type[BaseModel], leave_out: Collection[str] = ()) -> str:
    lines = list(_rows(cls, leave_out))
    return "\n".join([COLUMNS, *lines, ""]) if lines else "It has no parameters of its own.\n"


def _kinds() -> str:
    lines = ["| kind | parameter | type | default | what it is |", "|---|---|---|---|---|"]
    for base, word in KINDS.items():
        for row in _rows(base, set(BaseStep.model_fields)):
            lines.append(f"| {word} {row}")
    return "\n".join([*lines, ""])


def _rows(cls: type[BaseModel], leave_out: Collection[str]) -> Iterator[str]:
    for name, field in cls.model_fields.items():
        if name not in leave_out and not field.exclude:
            words = IN_A_GLOBAL_STEP if cls is GlobalStep and name in OF_A_KIND else _words(field)
            yield f"| `{field.alias or name}` | {_code(_type(field.annotation))} | {_default(field)} | {words} |"


def _words(field: FieldInfo) -> str:
    text = " ".join((field.description or "").split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return f"{text} A runtime parameter." if is_runtime_parameter(field) else text


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return _code(json.dumps(field.get_default(call_default_factory=True), ensure_ascii=False))


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is NoneType or annotation is Any:
        return "any" if annotation is Any else "null"
    if origin is Literal:
        return " | ".join(inner)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type, inner))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_type, inner))}]"
    return str(annotation.__name__)


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


if __name__ == "__main__":
    PAGE.write_text(steps_page(), encoding="utf-8")
