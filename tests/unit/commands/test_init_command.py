"""`pipeline-coordinator init`, and the recipes that it writes."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from coordinator.cli import group
from coordinator.plan.cautions import cautions
from coordinator.plan.load import prepare
from coordinator.recipes.recipe import NAMES, Recipe
from tests.support.in_process import rows_of
from tests.support.places import REPOSITORY


def init(*arguments: object) -> Result:
    return CliRunner().invoke(group, ["init", *map(str, arguments)], prog_name="pipeline-coordinator")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_runs_as_it_is_without_a_model(name: str, tmp_path: Path) -> None:
    result = init(name, tmp_path / "my data")
    assert result.exit_code == 0, result.output
    assert "Before you run it" not in result.output
    [command] = re.findall(r"^Run it: (.*)$", result.output, re.MULTILINE)
    program, verb, spec = shlex.split(command)
    assert (program, verb) == ("pipeline-coordinator", "run")
    assert len(rows_of(Path(spec))) >= 4
    assert list(cautions(prepare(Path(spec)))) == []
    written = {path.relative_to(tmp_path / "my data").as_posix() for path in (tmp_path / "my data").rglob("*.*")}
    assert written == set(Recipe.named(name).files)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_recipe_names_its_columns_and_its_data(name: str) -> None:
    recipe = Recipe.named(name)
    page, spec = recipe.files["README.md"].decode(), recipe.files["pipeline.yaml"].decode()
    (columns,) = re.findall(r"columns: \[(.*)\]\n\Z", spec)
    shown = {
        column for cell in re.findall(r"^\| (`.*`) \|", page, re.MULTILINE) for column in re.findall("`(.+?)`", cell)
    }
    assert shown == set(columns.split(", "))
    data = {file.partition("/")[0] for file in recipe.files} - {"README.md", "pipeline.yaml"}
    assert all(f"\n`{name}` " in page for name in data)


def test_the_pages_in_the_documents_are_written_from_the_recipes() -> None:
    path = REPOSITORY / "docs" / "make_recipe_pages.py"
    spec = importlib.util.spec_from_file_location("make_recipe_pages", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = script.written()
    assert {page: page.read_text() for page in (REPOSITORY / "docs" / "recipes").iterdir()} == written
    for name in NAMES:
        (shown,) = re.findall(r"```yaml recipe\n(.*?)```", written[script.FOLDER / f"{name}.md"], re.DOTALL)
        assert shown == Recipe.named(name).files["pipeline.yaml"].decode()


def test_without_a_name_the_recipes_are_listed() -> None:
    result = init()
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert lines[0].endswith(Recipe.named("sft").about)
    assert "init RECIPE [DIR]" in result.stderr


def test_the_folder_has_the_name_of_the_recipe_if_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert init("evol").output.endswith("\nRun it: pipeline-coordinator run evol/pipeline.yaml\n")
    assert (tmp_path / "evol" / "instructions.jsonl").is_file()


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_exists_is_kept_and_nothing_is_written(tmp_path: Path, is_link: bool) -> None:
    theirs = tmp_path / "topics.jsonl"
    theirs.symlink_to("nowhere") if is_link else theirs.write_text("mine")
    result = init("sft", tmp_path)
    assert result.exit_code == 2
    assert f"'{theirs}' already exists; choose another folder: pipeline-coordinator init sft DIR" in result.output
    assert list(tmp_path.iterdir()) == [theirs]
    assert is_link or theirs.read_text() == "mine"


def test_files_beside_those_of_the_recipe_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert init("sft", tmp_path).exit_code == 0


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = init("sft", tmp_path / "file" / "sft")
    assert result.exit_code == 2
    assert "cannot be written: Not a directory; choose another folder" in result.output


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    result = init("magpie", tmp_path)
    assert result.exit_code == 0
    assert "Before you run it: " in result.output
    assert "needs the package datasketch: pip install 'penstock[dedup]'" in result.output


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    result = init("ultrafedback")
    assert result.exit_code == 2
    assert "there is no recipe 'ultrafedback'; did you mean 'ultrafeedback'?" in result.output


def test_a_shell_completes_the_names() -> None:
    complete = ShellComplete(group, {}, "pipeline-coordinator", "_COMPLETE")
    assert [item.value for item in complete.get_completions(["init"], "ev")] == ["evol"]
