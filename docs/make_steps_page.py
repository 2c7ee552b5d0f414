"""Writes what the catalogue of built-in classes leads to: steps.md from the classes, the list of types in spec.md, and
what type checkers read of `common.steps` and `common.llms`.

python docs/make_steps_page.py
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import common.llms
import common.llms.embeddings
import common.steps.tasks
from common.building.build import resolve_step
from common.building.columns import declared_columns
from common.llms.base import resolve_llm
from common.llms.echo import EchoLLM
from common.llms.embeddings.base import EMBEDDINGS_NAMES
from common.llms.messages import text_in
from common.naming.catalogue import STEP_KINDS, Kind, entries, paths
from common.naming.lazy_names import LazyNames
from common.parameters.runtime_parameters import is_runtime_parameter
from common.steps.base import (
    AsyncStep,
    BaseStep,
    GeneratorStep,
    GlobalStep,
    Step,
    StepResources,
)
from common.steps.tasks.asking_step import AskingStep

DOCS = Path(__file__).parent
BEGIN, END = "<!-- Written by docs/make_steps_page.py from common/naming/catalogue.py. -->\n", "<!-- End. -->\n"
FACES: dict[str, LazyNames] = {
    "common/steps/__init__.pyi": common.steps._NAMES,
    "common/steps/tasks/__init__.pyi": common.steps.tasks._NAMES,
    "common/llms/__init__.pyi": common.llms._NAMES,
    "penstock/steps/__init__.pyi": common.steps._NAMES,
    "penstock/steps/tasks.pyi": common.steps.tasks._NAMES,
    "penstock/llms.pyi": common.llms._NAMES,
    "common/llms/embeddings/__init__.pyi": common.llms.embeddings._NAMES,
    "penstock/embeddings.pyi": common.llms.embeddings._NAMES,
}
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

What each built-in step does, and its parameters. [The spec](spec.md) explains how to write a step.
`pipeline-coordinator info SPEC` shows the same for the steps of a spec, including your own.
"""
OF_TASKS = "It also has the [parameters that every task has](#parameters-that-every-task-has)."
COLUMNS = "| parameter | type | default | what it is |\n|---|---|---|---|"


def written() -> dict[Path, str]:
    """File -> what is in it."""
    stubs = {DOCS.parent / path: stub(names) for path, names in FACES.items()}
    return {DOCS / "steps.md": steps_page(), DOCS / "spec.md": spec_page(), **stubs}


def spec_page() -> str:
    """The page as it is, with the types that there are."""
    before, begin, rest = (DOCS / "spec.md").read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}{types()}\n{end}{after}"


def types() -> str:
    """A table of the built-in types."""
    lines = ["| type | is a | what it does |", "|---|---|---|"]
    kinds: tuple[Kind, ...] = (*STEP_KINDS, "LLM", "embeddings", "routing function")
    for entry in entries(*kinds):
        needs = f"; needs `penstock[{entry.extra}]`" if entry.extra else ""
        lines.append(f"| `{entry.name}` | {entry.kind} | {entry.about}{needs} |")
    return "\n".join(lines)


def _import_of(module: str, name: str) -> str:
    """The import that type checkers take for a public one, as the formatter writes it."""
    line = f"from {module} import {name} as {name}"
    return line if len(line) <= 120 else f"from {module} import (\n    {name} as {name},\n)"


def stub(names: LazyNames) -> str:
    """What type checkers read of a package: each of its names is imported from where it stands."""
    places = sorted((module, not name.isupper(), name) for name, module in names.modules.items())
    lines = [_import_of(module, name) for module, _, name in places]
    return "\n".join(["# Written by docs/make_steps_page.py from common/naming/catalogue.py.", "", *lines, ""])


def steps_page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name in paths(*STEP_KINDS):
        cls = resolve_step(name)
        kind = next(word for base, word in KINDS.items() if issubclass(cls, base))
        parts.append(f"## {name}\n\n_{kind.capitalize()}._ {_prose(cls)}\n")
        parts += _shown(cls) if issubclass(cls, AskingStep) else []
        parts.append(_table(cls, leave_out={*BaseStep.model_fields, *OF_A_KIND, *_common(cls)}))
        parts += [f"{OF_TASKS}\n"] if issubclass(cls, AskingStep) else []
    parts += ["## Parameters that every task has\n", _table(AskingStep, leave_out=BaseStep.model_fields)]
    parts += ["## Parameters that every step has\n", _table(BaseStep, leave_out={"name", "resources"})]
    parts += ["`resources` is a mapping:\n", _table(StepResources)]
    parts += ["These depend on the kind of the step:\n", _kinds()]
    parts += ["## Language models\n", "What `llm` of a `TextGeneration` takes, beside `type`.\n"]
    for name in paths("LLM"):
        parts += [f"### {name}\n\n{_prose(resolve_llm(name))}\n", _table(resolve_llm(name))]
    parts += ["## Embeddings\n", "What a step that is given `embeddings` takes, beside `type`.\n"]
    for name in paths("embeddings"):
        parts += [f"### {name}\n\n{_prose(EMBEDDINGS_NAMES.resolve(name))}\n", _table(EMBEDDINGS_NAMES.resolve(name))]
    return "\n".join(parts)


def _shown(cls: type[AskingStep]) -> Iterator[str]:
    """The columns of a task, its examples and the work that it implements."""
    example = cls.worked_examples[0]
    llm = EchoLLM()
    task = cls(**{"name": "task", "llm": llm, **example.parameters})
    inputs, outputs = (declared_columns(task, which) for which in ("inputs", "outputs"))
    yield f"Columns in: {_columns(inputs)}. Columns added: {_columns(outputs)}.\n"
    task.load()
    if not isinstance(task, GeneratorStep) or example.row:
        messages, _ = task.asker.messages(dict(example.row))
        yield "What is sent for the row of the example:\n"
        yield _block("\n\n".join(f"[{each['role']}]\n{text_in(each['content'])}" for each in messages), "text")
    for each in cls.worked_examples:
        replies = [each.reply] if isinstance(each.reply, str) else each.reply
        parts = {**({"parameters": each.parameters} if each.parameters else {}), "row": each.row}
        lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in parts.items()]
        lines += [f"reply: {json.dumps(reply, ensure_ascii=False)}" for reply in replies]
        lines.append(f"adds: {json.dumps(each.made, ensure_ascii=False)}")
        yield _block("\n".join(lines), "text")
    for citation in cls.citations:
        yield "Cite:\n"
        yield _block(inspect.cleandoc(citation), "bibtex")


def _columns(columns: dict[str, bool]) -> str:
    return (
        ", ".join(f"`{name}`" if required else f"`{name}` (optional)" for name, required in columns.items()) or "none"
    )


def _block(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _common(cls: type[BaseStep]) -> list[str]:
    """Parameters that a task has as all tasks have them."""
    fields = AskingStep.model_fields if issubclass(cls, AskingStep) else {}
    return [name for name, field in fields.items() if repr(cls.model_fields[name]) == repr(field)]


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
        return " | ".join(map(str, inner))
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
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
