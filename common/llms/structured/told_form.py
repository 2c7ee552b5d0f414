"""The form of an answer as one endpoint is told it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import UsageError
from common.llms.messages import ChatMessage
from common.llms.structured.constraints import NOTHING, Constraint, constraint
from common.llms.structured.prompts import with_form
from common.llms.structured.structured_output import StructuredOutput


@dataclass(frozen=True, slots=True)
class ToldForm:
    """What of a form goes where in a request.

    Args:
        form: None if any text will do.
    """

    form: StructuredOutput | None
    constraint: Constraint = NOTHING

    @classmethod
    def of(cls, form: StructuredOutput | None, dialect: str) -> ToldForm:
        """See `constraint`."""
        return cls(form, constraint(form, dialect) if form else NOTHING)

    def check(self, options: Mapping[str, Any], endpoint: str, servers: Sequence[str]) -> None:
        """Checks that the endpoint can be told.

        Args:
            options: of a call.
            servers: providers that take grammars.

        Raises:
            UsageError: neither the endpoint nor this process can hold an answer to the form, or an option excludes it.
        """
        if self.form and self.form.format == "grammar" and not self.constraint.fields:
            raise UsageError(
                f"structured_output: {endpoint} has no option for a grammar, and no answer can be checked against one "
                f"here: set provider to the server that it is ({', '.join(servers)}), or use a regex or a JSON Schema"
            )
        fields = ", ".join(self.constraint.fields)
        for name in (*self.constraint.fields, *self.constraint.without):
            if name in options and not _joined(options[name], self.constraint.fields.get(name)):
                raise UsageError(
                    f"generation_kwargs cannot set '{name}' beside structured_output, which is sent as {fields}: leave "
                    "one of them out, or set constrain: false in structured_output"
                )

    def added(self, options: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
        """The options of a call, with what constrains the answer.

        Args:
            known: names of the API's options, which it may write in its own way; others are sent as they are.
        """
        named = {
            name: _joined(options.get(name), value) or value
            for name, value in self.constraint.fields.items()
            if name in known
        }
        others = {name: value for name, value in self.constraint.fields.items() if name not in known}
        extra = {**others, **(options.get("extra_body") or {})}
        return {**options, **named, **({"extra_body": extra} if extra else {})}

    def stated(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """The conversation, with the form in words if the model learns it from nowhere else, or `in_prompt` is set."""
        form = self.form
        if form is None:
            return messages
        is_stated = form.in_prompt if form.in_prompt is not None else not self.constraint.is_whole
        return with_form(messages, form) if is_stated else messages


def _joined(option: Any, field: Any) -> dict[str, Any] | None:
    """What both say, such as the effort and the format of an output; None if they exclude each other."""
    if not isinstance(option, Mapping) or not isinstance(field, Mapping) or option.keys() & field.keys():
        return None
    return {**option, **field}
