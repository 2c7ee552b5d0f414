"""The documents say what the code does, as far as a test can check it."""

from __future__ import annotations

import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from common.naming.catalogue import CATALOGUE
from common.settings import ENVIRONMENT_PREFIX, Settings
from common.spec.spec import PipelineSpec, StepSpec
from common.steps.base import AsyncStep, BaseStep, GeneratorStep, Step
from coordinator.plan.load import Prepared, prepare
from tests.support.places import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "benchmarks" / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCED = re.compile(r"^```(?P<language>\w+) (?P<mark>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block whose fence says more than its language, such as ```yaml spec."""
LINK = re.compile(r"\[[^]]*\]\(([^)#]*)(#[^)]*)?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PATH = re.compile(r"`((?:common|coordinator|worker|tests|docs|benchmarks|examples)/[\w./-]+)`")


def blocks(mark: str) -> list[Any]:
    return [
        pytest.param(found["text"], id=f"{page.name}-{number}")
        for page in PAGES
        for number, found in enumerate(FENCED.finditer(page.read_text()))
        if found["mark"] == mark
    ]


def prepared(folder: Path, spec: str) -> Prepared:
    """The spec in a folder with the steps and the data of the examples and with those that the README shows."""
    shutil.copytree(REPOSITORY / "examples", folder, dirs_exist_ok=True)
    (shown,) = (text for text in (found["text"] for found in FENCED.finditer(PAGES[0].read_text())) if "class " in text)
    with (folder / "mysteps.py").open("a") as file:
        file.write(shown.partition("\n\n\n")[2])
    (folder / "spec.yaml").write_text(spec)
    return prepare(folder / "spec.yaml")


@pytest.mark.parametrize("name", ["make_steps_page", "make_module_table"])
def test_what_is_written_from_the_code_is_what_it_says(name: str) -> None:
    spec = spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    for path, text in script.written().items():
        assert path.read_text() == text, f"{path} is out of date: python docs/{name}.py"


@pytest.mark.parametrize("spec", [*blocks("spec"), *blocks("asked")])
def test_every_spec_in_the_documents_is_valid(tmp_path: Path, spec: str) -> None:
    assert prepared(tmp_path, spec).plan.leaves


@pytest.mark.parametrize("lines", blocks("llm"))
def test_the_lines_that_name_an_endpoint_fit_into_the_quickstart(tmp_path: Path, lines: str) -> None:
    quickstart = (REPOSITORY / "examples" / "quickstart.yaml").read_text()
    changed, count = re.subn(r"^    llm: .*\n", lambda _: lines, quickstart, flags=re.MULTILINE)
    assert count == 2  # that of the judge as well
    llm = prepared(tmp_path, changed).steps["generate"].model_dump()["llm"]
    assert llm["type"] == "OpenAILLM"
    assert llm["base_url"].startswith("http")


@pytest.mark.parametrize("lines", blocks("client"))
def test_the_clients_of_the_guide_fit_into_the_quickstart(tmp_path: Path, lines: str) -> None:
    quickstart = (REPOSITORY / "examples" / "quickstart.yaml").read_text()
    changed, count = re.subn(r"^    llm: .*\n", lambda _: lines, quickstart, flags=re.MULTILINE)
    assert count == 2  # that of the judge as well
    llm = prepared(tmp_path, changed).steps["generate"].model_dump()["llm"]
    assert f"## {llm['type']}" in (DOCS / "guides" / "models.md").read_text()


def test_the_step_that_the_readme_shows_does_what_it_says(tmp_path: Path) -> None:
    (spec,) = (block.values[0] for block in blocks("spec") if "CountWords" in str(block.values[0]))
    steps = prepared(tmp_path, str(spec)).steps
    rows = [{"text": "To be or not to be"}, {"text": "Ay"}]
    assert list(steps["count"].process(rows)) == [[{"text": "To be or not to be", "words": 6}]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_and_path_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = [page.parent / link for link, _ in LINK.findall(text) if "://" not in link and link]
    targets += [REPOSITORY / path for path in PATH.findall(text)]
    assert [str(target) for target in targets if not target.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_into_a_page_leads_to_a_heading(page: Path) -> None:
    links = [(link, anchor) for link, anchor in LINK.findall(page.read_text()) if "://" not in link and anchor]
    for link, anchor in links:
        headings = HEADING.findall((page.parent / link if link else page).read_text())
        assert anchor[1:] in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], link


def test_every_setting_is_in_its_page_with_its_default() -> None:
    text = (DOCS / "operations" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        assert re.search(rf"^\| `{ENVIRONMENT_PREFIX}{name.upper()}` \| {default}\b", text, re.MULTILINE), name


def test_every_key_of_a_spec_is_in_its_page() -> None:
    text = (DOCS / "spec.md").read_text()
    models = (PipelineSpec, StepSpec, BaseStep, GeneratorStep, Step, AsyncStep)
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()} - {"name"}
    assert [key for key in sorted(keys) if f"| `{key}` |" not in text] == []


def test_every_script_is_in_the_architecture_page() -> None:
    text = (DOCS / "architecture.md").read_text()
    scripts = {path.stem for path in (REPOSITORY / "common" / "broker" / "scripts").glob("*.lua")}
    assert scripts
    assert {name for name in scripts if f"| `{name}` |" not in text} == set()


@pytest.mark.parametrize("walk", ["A batch, from `run` to Parquet", "A failed row", "A stop"])
def test_a_walk_meets_no_file_twice(walk: str) -> None:
    _, _, after = (DOCS / "architecture.md").read_text().partition(f"\n### {walk}\n")
    met = re.findall(r"^\d+\. `([^`]+)` ", re.split(r"^##", after, maxsplit=1, flags=re.MULTILINE)[0], re.MULTILINE)
    assert met
    assert len(met) == len(set(met))
    assert [path for path in met if not (REPOSITORY / path).is_file()] == []


def test_the_readme_names_the_two_commands() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert re.search(r"^make run\b", text, re.MULTILINE)
    assert re.search(r"^make test\b", text, re.MULTILINE)
    assert len(text.splitlines()) <= 120


def test_what_the_page_about_distilabel_calls_missing_is_not_built_in() -> None:
    missing = (DOCS / "migrating-from-distilabel.md").read_text().partition("## What is missing")[2]
    assert missing
    instead = {"OpenAILLM", "ClientvLLM", "OpenAIEmbeddings"}
    there = {entry.name for entry in CATALOGUE} & set(re.findall(r"`(\w+)`", missing)) - instead
    assert not there, f"these are built in; take them out of 'What is missing': {there}"
