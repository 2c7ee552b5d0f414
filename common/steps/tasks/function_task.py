"""`@task`: a task made from a function that reads the answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from string import Formatter
from typing import Any, ClassVar, get_type_hints, is_typeddict

from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from common.errors import UsageError
from common.llms.structured.reading import WrongForm, json_in
from common.steps.base import Row, StepColumns
from common.steps.decorator import check_settable, field_of, function_parameters, is_settable, refuse
from common.steps.tasks.base import Task
from common.steps.tasks.prompts import RowPrompts
from common.templates.prompt import PromptTemplate

Function = Callable[..., Any]
_RULE = "---"


@dataclass(frozen=True, slots=True)
class Reader:
    """The function of a task.

    Args:
        function: takes the answer, then the row if it has a second argument.
        takes_row: whether it has.
        settable: its arguments that are parameters of the task.
        model: of the answer, if the function says that it returns one.
    """

    function: Function
    takes_row: bool
    settable: tuple[str, ...]
    model: type[BaseModel] | None

    def columns(self, text: str, row: Row, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the function makes of an answer. Raises whatever it raises; ValueError: the answer has another form."""
        answer: Any = text
        if self.model is not None:
            answer = _validated(self.model, text)
        made = self.function(*([answer, row] if self.takes_row else [answer]), **values)
        if made is None and self.model is not None:  # a function that is its prompt alone
            made = answer
        return made.model_dump(mode="json") if isinstance(made, BaseModel) else made


def _validated(model: type[BaseModel], text: str) -> BaseModel:
    try:
        return model.model_validate(json_in(text).value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        found = "; ".join(f"at {'.'.join(map(str, each['loc'])) or 'its top'}: {each['msg']}" for each in faults)
        raise WrongForm(found) from None


class FunctionTask(Task):
    """The base of tasks that `@task` makes."""

    _reader: ClassVar[Reader]
    _inputs: ClassVar[StepColumns | None]
    _outputs: ClassVar[StepColumns]

    template: str = Field(default="", description="Jinja2 template of the prompt.")

    _prompts: tuple[RowPrompts, RowPrompts | None] | None = PrivateAttr(default=None)

    @property
    def inputs(self) -> StepColumns:
        if self._inputs is not None:
            return self._inputs
        return [*dict.fromkeys(name for text in self._templates for name in PromptTemplate(text).columns)]

    @property
    def outputs(self) -> StepColumns:
        return self._outputs

    @property
    def _templates(self) -> list[str]:
        """Of the prompt, and of the system prompt if columns are filled into it."""
        system = self.system_prompt or ""
        return [self.template, *([system] if "{{" in system else [])]

    def get_structured_output(self) -> dict[str, Any] | None:
        """The JSON Schema of the model that the function returns."""
        model = self._reader.model
        return model.model_json_schema() if model is not None else None

    def load(self) -> None:
        prompt, *system = [RowPrompts.of(text, PromptTemplate(text).columns) for text in self._templates]
        self._prompts = prompt, system[0] if system else None
        super().load()

    def format_input(self, row: Row, /) -> Any:
        """Call `load` first, which compiles the templates."""
        assert self._prompts is not None, "call load() before processing rows"
        prompt, system = self._prompts
        messages = prompt.messages(row)
        return messages if system is None else [{"role": "system", "content": system.text(row)}, *messages]

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        """What the function returns."""
        reader = self._reader
        return reader.columns(text or "", row, {name: getattr(self, name) for name in reader.settable})


def task(
    inputs: StepColumns | None = None,
    outputs: StepColumns | None = None,
    *,
    template: str | None = None,
    system_prompt: str | None = None,
) -> Callable[[Function], type[Task]]:
    """Makes a task class from a function; the class has the function's name, module and docstring.

    The function takes the answer of the model, then, if it likes, the row, and returns a mapping of columns. Arguments
    annotated `RuntimeParameter[...]` are parameters of the task. It raises ValueError for an answer that it cannot
    read, which is then asked for again.

    A function that is annotated to return a class of pydantic demands JSON of the model, under the schema of that
    class: it gets the answer as an instance, and the columns are the fields. A function that returns nothing keeps the
    answer as it is, so it may consist of its docstring.

    Args:
        inputs: columns that the prompt needs; by default those that the template uses.
        outputs: columns that it adds; by default the fields of the class, or keys of the TypedDict, that it returns.
        template: Jinja2 template of the prompt; by default the docstring. A docstring as distilabel's `@task` has it,
            with `system_prompt` and `user_message_template` between two lines of `---`, is read as there.
        system_prompt: of each conversation.

    Raises:
        UsageError: the function does not fit, or there is no prompt.

    Example:
        >>> @task(outputs=["topics"])
        ... def Topics(answer: str) -> dict:
        ...     '''Name the topics of this text, one on each line.
        ...
        ...     {{ text }}'''
        ...     return {"topics": answer.split("\\n")}
    """
    if callable(inputs):
        raise UsageError(f"@task needs parentheses: write @task() above '{inputs.__name__}'")

    def make(function: Function) -> type[Task]:
        return _make_class(function, inputs, outputs, template, system_prompt)

    return make


def _make_class(
    function: Function,
    inputs: StepColumns | None,
    outputs: StepColumns | None,
    template: str | None,
    system_prompt: str | None,
) -> type[Task]:
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        refuse(function, "it reads an answer that is there, so write it as a plain function that returns", "@task")
    parameters = function_parameters(function, "@task")
    settable = {name: each for name, each in parameters.items() if is_settable(each)}
    for each in settable.values():
        check_settable(function, FunctionTask, each, "@task")
    returned = _returned(function)
    model = returned if isinstance(returned, type) and issubclass(returned, BaseModel) else None
    system, prompt = _prompts(function, template, system_prompt)
    namespace: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": inspect.getdoc(function) or f"Made from the function `{function.__name__}`.",
        "__annotations__": {
            **{name: each.annotation for name, each in settable.items()},
            "template": str,
            "system_prompt": str | None,
            "use_default_structured_output": bool,
        },
        **{name: field_of(each) for name, each in settable.items()},
        "template": Field(default=prompt, description=FunctionTask.model_fields["template"].description),
        "system_prompt": Field(default=system, description=Task.model_fields["system_prompt"].description),
        "use_default_structured_output": Field(
            default=model is not None, description=Task.model_fields["use_default_structured_output"].description
        ),
    }
    metaclass: Any = type(FunctionTask)
    made: type[FunctionTask] = metaclass(function.__name__, (FunctionTask,), namespace)
    made._reader = Reader(function, _takes_row(function, parameters, settable), tuple(settable), model)
    made._inputs = inputs
    made._outputs = outputs if outputs is not None else _columns(function, returned)
    return made


def _takes_row(function: Function, parameters: Mapping[str, Parameter], settable: Mapping[str, Parameter]) -> bool:
    taken = [each for name, each in parameters.items() if name not in settable]
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    if not 1 <= len(taken) <= 2 or any(each.kind not in kinds for each in taken):
        refuse(
            function,
            f"it takes the answer, and the row if it likes: def {function.__name__}(answer, row); annotate parameters "
            "of the task with RuntimeParameter[...]",
            "@task",
        )
    return len(taken) == 2


def _returned(function: Function) -> Any:
    """The return annotation; None if it exists for type checkers only."""
    try:
        return get_type_hints(function).get("return")
    except Exception:  # a name that is imported for type checkers only
        return None


def _columns(function: Function, returned: Any) -> StepColumns:
    if isinstance(returned, type) and issubclass(returned, BaseModel):
        return list(returned.model_fields)
    if is_typeddict(returned):
        return {name: name in returned.__required_keys__ for name in returned.__annotations__}
    why = "it does not say which columns it adds; name them, @task(outputs=[...]), or annotate it to return a class of "
    return refuse(function, f"{why}pydantic or a TypedDict", "@task")


def _prompts(function: Function, template: str | None, system_prompt: str | None) -> tuple[str | None, str]:
    """(system prompt, template of the prompt)."""
    documented = inspect.getdoc(function) or ""
    if template is None and documented.count(_RULE) == 2 and "user_message_template" in documented:
        system_prompt, template = _of_distilabel(function, documented.split(_RULE)[1])
    template = documented if template is None else template
    try:
        columns = PromptTemplate(template).columns
    except ValueError as error:
        refuse(function, f"its prompt is not a template: {error}", "@task")
    if not columns:
        refuse(function, "its prompt uses no column, so it would be the same for each row; write {{ column }}", "@task")
    return system_prompt, template


def _of_distilabel(function: Function, written: str) -> tuple[str, str]:
    """The two prompts in a docstring of distilabel's, whose columns stand in single braces."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(written)
        return _as_jinja(found["system_prompt"].strip()), _as_jinja(found["user_message_template"].strip())
    except (YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        refuse(
            function,
            f"between its two lines of --- there is no YAML with texts for system_prompt and user_message_template "
            f"({type(error).__name__}: {error})",
            "@task",
        )


def _as_jinja(text: str) -> str:
    parts: Sequence[tuple[str, str | None, str | None, str | None]] = list(Formatter().parse(text))
    found = ""
    for literal, name, _, _ in parts:
        found += f"{{% raw %}}{literal}{{% endraw %}}" if "{" in literal or "}" in literal else literal
        found += f"{{{{ {name} }}}}" if name is not None else ""
    return found
