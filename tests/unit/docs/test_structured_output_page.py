"""Each example of the page about structured output, against an endpoint that gives the answer that the page shows."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from common.llms.base import LLM, resolve_llm
from common.steps import TextGeneration
from coordinator.plan.load import prepare
from penstock import Pipeline
from tests.support.places import REPOSITORY
from tests.support.servers.chat_server import completion, serving

PAGE = (REPOSITORY / "docs" / "guides" / "structured-output.md").read_text()
BLOCK = re.compile(r"^```\w+ (?P<mark>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(found["mark"], found["text"]) for found in BLOCK.finditer(PAGE)]


def shown(mark: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == mark]


def with_answers() -> list[Any]:
    """(mark, text, the next answer), of each example of a spec or an LLM."""
    found, waiting = [], None
    for mark, text in BLOCKS:
        if mark in ("asked", "form"):
            assert waiting is None, "an example without an answer"
            waiting = mark, text
        elif mark == "answer":
            assert waiting is not None
            found.append(pytest.param(*waiting, text.strip(), id=f"{waiting[0]}-{len(found)}"))
            waiting = None
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (forms,) = shown("forms")
    (tmp_path / "forms.py").write_text(forms)
    yield tmp_path
    sys.modules.pop("forms", None)


def generated(llm: LLM, answer: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The row, and the request that was sent."""

    async def one() -> tuple[Any, dict[str, Any]]:
        async with serving(lambda _: completion(answer)) as chat:
            step = TextGeneration(name="ask", llm=llm.model_copy(update={"base_url": chat.url}), retries=0, **options)
            step.load()
            await step.aload()
            try:
                return await step.process_row({"instruction": "Which?"}), chat.requests[0][2]
            finally:
                await step.aunload()

    return asyncio.run(one())


@pytest.mark.parametrize(("mark", "text", "answer"), with_answers())
def test_the_answer_that_the_page_shows_has_the_form_and_no_other_text_does(
    mark: str, text: str, answer: str, folder: Path
) -> None:
    if mark == "asked":
        (folder / "spec.yaml").write_text(text)
        step: Any = prepare(folder / "spec.yaml").steps["ask"]
        llm, options = step.llm, {"structured_columns": step.structured_columns}
    else:
        written = YAML(typ="safe").load(text)
        cls = resolve_llm(written.pop("type"))
        llm, options = cls.model_validate(written, context={"allow": ("forms",)}), {}
    llm.check_here()
    row, request = generated(llm, answer, **options)
    assert row["generation"] == answer
    assert request.keys() - {"model", "messages"}, "the endpoint is told nothing"
    if llm.structured_output.format != "grammar":
        with pytest.raises(Exception, match="has the wrong form"):
            generated(llm, "something else", **options)


def test_the_program_writes_the_schema_into_its_spec() -> None:
    (program,) = shown("program")
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(program, "page", "exec"), names)
    pipeline: Pipeline = names["pipeline"]
    (dumped,) = (step for step in pipeline.dump()["steps"].values() if "llm" in step)
    assert dumped["llm"]["structured_output"]["schema"] == names["City"].model_json_schema()


def test_the_table_of_keys_has_every_key() -> None:
    from common.llms.structured.structured_output import StructuredOutput

    for name, field in StructuredOutput.model_fields.items():
        assert f"| `{field.alias or name}` |" in PAGE
