"""StructuredGeneration: an answer in a form that each row names."""

from __future__ import annotations

from typing import Any, ClassVar

import orjson

from common.cells import cell_of, kind_of, words_of
from common.errors import RowError
from common.steps.base import Row
from common.steps.tasks.base import Task
from common.steps.tasks.examples import Example


class StructuredGeneration(Task):
    """Sends `instruction`, and demands the form in `structured_output` of the answer, which becomes `generation`.

    The form is a mapping as `structured_output` of an LLM has it, or its JSON: `format` is `json`, `regex`, `grammar`
    or `choice`, `schema` what belongs to it. Rows with None there may be answered in any form. Each answer is checked;
    one of the wrong form is shown to the model once, with its fault, then asked for again. `generation` is the text,
    also of JSON. A schema cannot be the name of a class here, since rows are data.
    """

    _version: ClassVar[int] = 1

    inputs: ClassVar[list[str]] = ["instruction", "structured_output"]
    outputs: ClassVar[list[str]] = ["generation"]
    worked_examples = (
        Example(
            row={
                "instruction": "How warm is it in Seattle, in degrees Celsius?",
                "structured_output": {"format": "regex", "schema": r"\d{1,2}°C"},
            },
            reply="17°C",
            made={"generation": "17°C"},
        ),
    )

    def format_input(self, row: Row, /) -> tuple[str, dict[str, Any] | None]:
        form = cell_of(row, "structured_output")
        if isinstance(form, str):
            try:
                form = orjson.loads(form)
            except orjson.JSONDecodeError as error:
                raise RowError(f"column 'structured_output' is not JSON: {error}") from None
        if form is not None and not isinstance(form, dict):
            raise RowError(f"column 'structured_output' holds {kind_of(form)} where a mapping is expected")
        return words_of(row, "instruction"), form

    def format_output(self, text: str | None, row: Row, /) -> dict[str, Any]:
        return {"generation": text}
