"""From type names to classes: what is found, what is refused, and what the refusal says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from common.building.build import resolve_step
from common.code.source import Sources
from common.errors import UnknownType, UsageError
from common.llms.base import resolve_llm
from common.naming.catalogue import STEP_KINDS, paths
from common.naming.registry import check_shadowing, resolve_function
from common.steps.base import Step
from common.steps.columns.rearrange import GroupColumns, KeepColumns
from tests.support.places import REPOSITORY
from tests.support.steps.sample_steps import Load, Upper

SAMPLES = "tests.support.steps.sample_steps"


@pytest.fixture
def on_path(tmp_path: Path) -> Iterator[Path]:
    """A folder at the end of `sys.path`, with a module `mysteps_of_a_test` to write into."""
    sys.path.append(str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    sys.modules.pop("mysteps_of_a_test", None)


def source_of(cls: type) -> str:
    return Sources().of_class(cls)


def refusal(type_name: str, allow: tuple[str, ...] = ("*",)) -> str:
    with pytest.raises(UnknownType) as caught:
        resolve_step(type_name, allow)
    assert caught.value.type_name == type_name
    return str(caught.value)


@pytest.mark.parametrize("name", paths(*STEP_KINDS))
def test_each_built_in_step_is_found_without_being_allowed(name: str) -> None:
    assert resolve_step(name).__name__ == name


@pytest.mark.parametrize("name", paths("LLM"))
def test_each_built_in_llm_is_found_without_being_allowed(name: str) -> None:
    assert resolve_llm(name).__name__ == name


def test_asking_for_one_built_in_imports_no_other() -> None:
    code = (
        "import sys; from common.building.build import resolve_step; resolve_step('KeepColumns'); print(*sys.modules)"
    )
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "common.steps.columns.rearrange" in imported
    assert not {"common.steps.loading.files", "common.llms.openai", "openai", "datasets", "pyarrow", "jinja2"} & set(
        imported
    )


@pytest.mark.parametrize("allow", ["*", "tests", "tests.support", SAMPLES])
@pytest.mark.parametrize("separator", [":", "."])
def test_a_class_of_an_allowed_module_is_found(allow: str, separator: str) -> None:
    assert resolve_step(f"{SAMPLES}{separator}Upper", [allow]) is Upper


def test_of_a_misspelt_module_the_nearest_allowed_one_is_named() -> None:
    assert refusal("mystep:Upper", ("numpy", "mysteps")) == (
        "'mystep:Upper' is not allowed here; did you mean 'mysteps:Upper'? Else, to let this process import it: "
        "--allow mystep (but there is no such module on this host)"
    )


@pytest.mark.parametrize(
    "allow", [(), ("test",), ("tests.support.steps.sample",), ("tests.support.steps.sample_steps.more",)]
)
def test_a_class_of_another_module_is_refused_before_it_is_imported(allow: tuple[str, ...]) -> None:
    refused = refusal("tests.support.steps.sample_steps:Upper", allow)
    assert refused.startswith("'tests.support.steps.sample_steps:Upper' is not allowed here; ")
    assert refused.endswith("to let this process import it: --allow tests.support.steps.sample_steps")
    assert refusal("antigravity:Step", allow).startswith("'antigravity:Step' is not allowed here")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("penstock.steps:KeepColumns", "'penstock.steps:KeepColumns' is built in; write type: KeepColumns"),
        ("common.steps.KeepColumns", "'common.steps.KeepColumns' is built in; write type: KeepColumns"),
        (paths("step")["KeepColumns"], f"'{paths('step')['KeepColumns']}' is built in; write type: KeepColumns"),
        ("penstock.steps:KeepColums", "there is no built-in 'KeepColums'; did you mean type: KeepColumns?"),
    ],
)
def test_a_built_in_step_that_is_named_with_its_module_gets_its_name(name: str, problem: str) -> None:
    assert refusal(name, ()) == problem


def test_a_built_in_llm_or_function_that_is_named_with_its_module_gets_its_name() -> None:
    with pytest.raises(UnknownType, match=r"^'penstock.llms:EchoLLM' is built in; write type: EchoLLM$"):
        resolve_llm("penstock.llms:EchoLLM")
    with pytest.raises(UnknownType, match=r"^'penstock:sample_n_steps' is built in; write sample_n_steps$"):
        resolve_function("penstock:sample_n_steps")


def test_a_class_of_ours_that_is_not_built_in_is_not_allowed() -> None:
    assert refusal("common.spec.spec:StepSpec", ()).startswith("'common.spec.spec:StepSpec' is not allowed here; ")


def test_a_misspelt_name_gets_the_nearest_right_one() -> None:
    with pytest.raises(UnknownType) as caught:
        resolve_step("keepcolumn")
    assert str(caught.value) == "no step has the type 'keepcolumn'; did you mean 'KeepColumns'?"
    assert caught.value.nearest == "KeepColumns"
    with pytest.raises(UnknownType, match=r"^no LLM has the type 'EchoLM'; did you mean 'EchoLLM'\?$"):
        resolve_llm("EchoLM")


def test_a_name_like_no_other_gets_all_of_them_and_the_way_to_name_an_own_class() -> None:
    names = ", ".join(sorted(paths(*STEP_KINDS)))
    assert refusal("Zzz") == (f"no step has the type 'Zzz'; there are {names}; write your own class as module:Zzz")


def test_a_module_that_is_not_there_is_named_with_the_folder_where_it_was_expected(on_path: Path) -> None:
    assert refusal("mysteps_of_a_test:Mine") == (
        "the module 'mysteps_of_a_test' of 'mysteps_of_a_test:Mine' was not found: neither an installed package nor "
        f"mysteps_of_a_test.py or mysteps_of_a_test/ in {on_path}"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\nimport no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package' ({file}:2)"),
        ("x = 1\n\nx +\n", "SyntaxError: invalid syntax ({file}:3)"),
        ("raise RuntimeError('no model')\n", "RuntimeError: no model ({file}:1)"),
    ],
)
def test_a_module_that_fails_to_import_says_its_own_error_and_line(on_path: Path, text: str, problem: str) -> None:
    file = on_path / "mysteps_of_a_test.py"
    file.write_text(text)
    assert refusal("mysteps_of_a_test:Mine") == (
        "the module 'mysteps_of_a_test' of 'mysteps_of_a_test:Mine' cannot be imported: " + problem.format(file=file)
    )


def test_a_class_that_the_module_lacks_gets_the_nearest_one() -> None:
    file = import_module(SAMPLES).__file__
    assert refusal(f"{SAMPLES}:Uper") == (
        f"the module '{SAMPLES}' ({file}) has no class 'Uper'; did you mean '{SAMPLES}:Upper'?"
    )


@pytest.mark.parametrize("name", ["NotAStep", "make_step", "Row"])
def test_what_is_no_step_is_refused(name: str) -> None:
    assert refusal(f"{SAMPLES}:{name}") == (
        f"'{SAMPLES}:{name}' is not the class of a step; it must inherit from "
        "Step, GeneratorStep, GlobalStep or AsyncStep"
    )


def test_a_step_without_process_is_refused() -> None:
    assert refusal(f"{SAMPLES}:Unfinished") == (f"'{SAMPLES}:Unfinished' cannot be used: it does not define process")


@pytest.mark.parametrize("name", [":Upper", "tests.unit:", "."])
def test_a_name_without_module_or_class_is_refused(name: str) -> None:
    assert refusal(name) == f"'{name}' is not a type name; write module:Class"


def test_an_entry_point_of_an_installed_package_is_a_type_name(on_path: Path) -> None:
    package = on_path / "pack-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        f"[penstock.steps]\nShout = {SAMPLES}:Upper\nBroken = no_such_package:Step\nWrong = {SAMPLES}:NotAStep\n"
    )
    assert resolve_step("Shout") is Upper
    assert refusal("Shoutt") == "no step has the type 'Shoutt'; did you mean 'Shout'?"
    assert refusal("Broken") == (
        "'Broken' of the package pack cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"
    )
    assert refusal("Wrong").startswith("'Wrong' is not the class of a step")


def test_the_digest_of_a_class_changes_with_its_file(on_path: Path) -> None:
    file = on_path / "mysteps_of_a_test.py"
    text = f"from {SAMPLES} import Upper\nclass Mine(Upper): pass\n"
    file.write_text(text)
    mine = resolve_step("mysteps_of_a_test:Mine", ["*"])
    before = source_of(mine)
    assert before == source_of(mine)
    assert len(before) == 16
    file.write_text(text + "# changed\n")
    assert source_of(mine) != before


def test_classes_of_one_file_have_different_digests() -> None:
    assert source_of(KeepColumns) != source_of(GroupColumns)
    assert source_of(Upper) != source_of(Load)


def test_a_class_without_a_file_has_a_digest_of_its_name() -> None:
    namespace = {"Step": Step, "__name__": "typed_at_a_prompt"}
    exec("class One(Step):\n  def process(self, inputs): yield inputs\nclass Two(One): pass", namespace)
    one, two = namespace["One"], namespace["Two"]
    assert isinstance(one, type)
    assert isinstance(two, type)
    assert source_of(one) == source_of(one) != source_of(two)


@pytest.mark.parametrize("name", ["common.py", "worker/steps.py", "coordinator/__init__.py"])
def test_a_folder_with_a_module_of_our_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(
        UsageError, match=f"{tmp_path}/{name.partition('/')[0]} has the name of one of Penstock's packages"
    ):
        check_shadowing(tmp_path)


def test_our_own_folder_and_folders_without_modules_of_our_names_are_fine(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "notes.txt").touch()
    (tmp_path / "commons.py").touch()
    check_shadowing(tmp_path)
    check_shadowing(REPOSITORY)
