"""Texts of specs, rows, endpoints and other hosts are shown, and cannot control a terminal or a card."""

from __future__ import annotations

import ast
import io
import logging
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.text import Text

from common.words.printable import PrintableFormatter, printable, quoted
from coordinator.cli import group
from coordinator.dataset.card import CardConfig, CardFacts, front_matter, load_dataset_example, write_card
from coordinator.dataset.markdown import code, inline, paragraphs
from coordinator.view.printable import Printable
from coordinator.view.progress import make_reporter
from coordinator.view.summary import summary
from coordinator.view.view import Outcome

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\x9b31md\u202ee\u2066f\x00g\x7fh\x1bi\ud800"
ORDERS = ["\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\x00", "\x7f", "\ud800"]


def orders(text: str) -> list[str]:
    return [repr(mark) for mark in ORDERS if mark in text]


SPEC = """
name: demo
description: "DESCRIPTION"
steps:
  load: {type: LoadDataFromDicts, data: [{"text": "a", "cDESCRIPTION": "b"}]}
  keep: {type: KeepColumns, after: load, columns: [text]}
"""


@pytest.mark.parametrize("command", ["info", "validate"])
def test_what_a_spec_says_gives_a_terminal_no_orders(tmp_path: Path, command: str) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("DESCRIPTION", r"x\e[2J\x9b31m\u202ey\a\x7f"))
    result = CliRunner().invoke(group, [command, str(spec)], color=True)
    assert result.exit_code == 0, result.output
    assert orders(result.output.replace("\x1b[0m", "").replace("\x1b[1m", "")) == []
    spec.write_text(SPEC.replace("KeepColumns", r'"x\e[2J\x9b31m\u202ey"').replace("DESCRIPTION", ""))
    result = CliRunner().invoke(group, [command, str(spec)], color=True)
    assert result.exit_code == 2
    assert orders(result.output) == []
    result = CliRunner().invoke(group, ["status", "\x1b[2J\u202ex", "--cache-dir", str(tmp_path)], color=True)
    assert orders(result.output) == []


def test_what_is_said_of_a_run_gives_a_terminal_no_orders_and_looks_like_no_line_of_ours() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=80)
    reporter = make_reporter(console)
    reporter.say(f"an endpoint says: {HOSTILE}\ndemo is complete: 5 rows")
    failed = Outcome("demo", "halted", 1, reason=HOSTILE, failed={"ask": 1}, errors={"ask": HOSTILE}, rows={HOSTILE: 1})
    reporter.finish(failed)
    assert orders(out.getvalue()) == []
    assert "\n    demo is complete" in out.getvalue()


def test_only_rich_itself_gives_orders_in_what_it_draws() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", legacy_windows=False)
    console.print(Printable(Text.assemble((HOSTILE, "red"), "plain")))
    shown = out.getvalue()
    assert shown.startswith("\x1b[31m")
    assert "\x1b[2J" not in shown
    assert orders(shown.replace("\x1b[31m", "").replace("\x1b[0m", "")) == []


def test_a_log_record_at_a_terminal_is_plain_text() -> None:
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "row: %s", (HOSTILE,), None)
    assert orders(PrintableFormatter("%(message)s").format(record)) == []


# Cards

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HARMLESS = {"text", "softbreak", "paragraph_open", "paragraph_close", "inline", "text_special"}
TRICKS = [
    "# title",
    "- item",
    "1. item",
    "> quote",
    "---",
    "===",
    "<b>",
    "[a](b)",
    "![a](b)",
    "`c`",
    "*d*",
    "|e|",
    "&amp;",
]


def kinds(text: str) -> set[str]:
    tokens = MARKDOWN.parse(text)
    return {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}


lines = st.lists(
    st.sampled_from([*TRICKS, *(trick + " x" for trick in TRICKS), "", "    code", "~~~", "\\", "a  ", "+", ":"])
)


@given(lines)
def test_a_description_is_plain_text_in_the_card(texts: list[str]) -> None:
    text = "\n".join(texts)
    assert kinds(paragraphs(text)) <= HARMLESS
    shown = "\n".join(
        child.content or "\n" for token in MARKDOWN.parse(paragraphs(text)) for child in token.children or ()
    )
    assert shown.split() == text.split()


@given(st.text(st.sampled_from("ab`|\\<> *\n"), max_size=12))
def test_a_name_is_a_code_span_or_plain_text_in_the_card(name: str) -> None:
    (row,) = [token for token in MARKDOWN.parse(f"x {code(name)} y") if token.type == "inline"]
    assert [child.type for child in row.children or ()] == ["text", "code_inline", "text"]
    assert kinds(f"# {inline(name)}") <= HARMLESS | {"heading_open", "heading_close"}


def test_nothing_of_a_card_is_taken_for_markup() -> None:
    column = "a`<img src=x onerror=y>`|b"
    schema = pa.schema([(column, pa.list_(pa.struct([("<script>", pa.string())])))])
    name = 'x"]\n<script>'
    config = CardConfig(name, schema, {"train": 1}, {column: "```\n<script>\n\u202e"}, "data")
    facts = CardFacts(
        "n\n# m", "---\nlicense: evil\n---\n<script>\x1b[2J", "`<script>`", "s", "name: ```\n", "c", {}, {"<b>": 1}
    )
    example = load_dataset_example('a"b', [config])
    card = write_card(facts, [config], front_matter=front_matter([config]), load_example=example)
    assert orders(card) == []
    front, text = card.split("\n---\n", 1)
    assert "license" not in front
    assert {kind for kind in kinds(text) if "html" in kind or "image" in kind or "link" in kind} == set()
    assert r'load_dataset("a\"b", split="train")' in card


@given(st.text(st.characters(exclude_categories=[])))
@example('a "b" \\ \x1b[2J \r\n \x7f \u202e \u2028 \ud800 Größe')
def test_a_quoted_text_is_what_python_reads_as_that_text_in_one_printable_line(text: str) -> None:
    shown = quoted(text)
    assert ast.literal_eval(shown) == text
    assert printable(shown) == shown
    assert len(shown.splitlines()) == 1
    shown.encode()
    assert quoted("Größe") == '"Größe"'


def test_a_command_that_loads_a_dataset_from_a_strange_folder_is_safe_to_show_and_to_copy(tmp_path: Path) -> None:
    folder = tmp_path / 'a \u202e "b" \udcff'
    outcome = Outcome(run_id="r", status="complete", exit_code=0, dataset=folder, rows={"a": 1})
    (line,) = [line.plain for line in summary(outcome) if "load_dataset(" in line.plain]
    assert ast.literal_eval(line.partition("load_dataset(")[2].rstrip(")")) == str(folder)
    assert printable(line) == line
