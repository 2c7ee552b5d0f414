"""The package that programs import: the same objects as in their modules, under a name that no other package has."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import penstock.errors
import penstock.llms
import penstock.routing
import penstock.steps
import penstock.steps.tasks
from common.building.dump import dump_step
from tests.support.places import REPOSITORY

FACES = {
    "penstock": ("coordinator", "common.steps"),
    "penstock.steps": ("common.steps",),
    "penstock.steps.tasks": ("common.steps.tasks",),
    "penstock.llms": ("common.llms",),
    "penstock.embeddings": ("common.llms.embeddings",),
    "penstock.routing": ("common.routing",),
    "penstock.errors": ("common.errors",),
}


def python(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """A script in a folder, as a user runs it, where Penstock is installed behind it on the path."""
    (folder / "script.py").write_text(code)
    command = [sys.executable, "script.py"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env={"PYTHONPATH": str(REPOSITORY)})


@pytest.mark.parametrize("face", FACES)
def test_each_name_is_the_same_object_as_where_it_stands(face: str) -> None:
    module = import_module(face)
    assert dir(module)
    for name in dir(module):
        stands = [each for each in map(import_module, FACES[face]) if hasattr(each, name)]
        assert getattr(module, name) is getattr(stands[0], name), name


@pytest.mark.parametrize("package", ["coordinator", "common.steps", "common.llms", "common.steps.tasks"])
def test_no_name_of_the_old_faces_is_missing(package: str) -> None:
    faces = [import_module(name) for name in FACES]
    assert [name for name in dir(import_module(package)) if not any(name in dir(face) for face in faces)] == []


@pytest.mark.parametrize("face", FACES)
def test_a_name_that_is_not_there_is_an_attribute_error(face: str) -> None:
    with pytest.raises(AttributeError, match=f"^module '{face}' has no attribute 'Nothing'$"):
        import_module(face).Nothing  # noqa: B018


def test_a_misspelt_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    ended = python(tmp_path, "import penstock.steps\npenstock.steps.KeepColumn\n")
    assert ended.stderr.splitlines()[-1] == (
        "AttributeError: module 'penstock.steps' has no attribute 'KeepColumn'. Did you mean: 'KeepColumns'?"
    )


def test_a_module_has_one_identity() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("penstock.llms.openai")
    assert dump_step(penstock.steps.KeepColumns(name="keep", columns=["a"])) == {
        "type": "KeepColumns",
        "columns": ["a"],
    }
    assert penstock.steps.KeepColumns.__module__ == "common.steps.columns.rearrange"


def test_all_of_a_face_can_be_imported_at_once(tmp_path: Path) -> None:
    code = "from penstock.steps import *\nfrom penstock.llms import *\nfrom penstock import *\n"
    ended = python(tmp_path, code + "print(KeepColumns.__name__, EchoLLM.__name__, Pipeline.__name__)")
    assert (ended.stdout, ended.stderr) == ("KeepColumns EchoLLM Pipeline\n", "")


def test_to_import_the_package_imports_nothing_of_ours(tmp_path: Path) -> None:
    code = "import sys, penstock.steps, penstock.llms, penstock.errors, penstock.routing\n"
    ended = python(tmp_path, code + "print({'common', 'coordinator', 'pydantic'} & set(sys.modules))")
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize("name", ["common", "coordinator"])
@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py"])
@pytest.mark.parametrize(
    "line", ["from penstock import Pipeline", "from penstock.steps import Step", "from penstock.llms import EchoLLM"]
)
def test_a_package_of_the_users_with_the_name_of_ours_is_named(tmp_path: Path, name: str, form: str, line: str) -> None:
    file = tmp_path / form.format(name)
    file.parent.mkdir(exist_ok=True)
    file.touch()
    ended = python(tmp_path, f"{line}\n")
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: the package '{name}' would be imported from {file}, not from {REPOSITORY}: ")
    assert last.endswith("comes first on the path; rename it, or take it out of PYTHONPATH")
