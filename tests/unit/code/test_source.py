"""What counts as the code of a class: its file, and what its imports lead to, within its folder or its distribution."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from common.code.source import Sources

MAIN = "class Mine: pass\ndef route(steps): return steps\n"

CASES: list[tuple[str, dict[str, str], str]] = [
    ("import helper", {"helper.py": ""}, "helper.py"),
    ("from helper import PROMPT", {"helper.py": "PROMPT = 'a'"}, "helper.py"),
    ("from helper import *", {"helper.py": ""}, "helper.py"),
    ("if True:\n    import helper as h", {"helper.py": ""}, "helper.py"),
    ("def later():\n    from helper import PROMPT", {"helper.py": ""}, "helper.py"),
    ("import helper", {"helper.py": "import deeper", "deeper.py": ""}, "deeper.py"),
    ("import helper", {"helper.py": "import deeper", "deeper.py": "import main_of_test, helper"}, "deeper.py"),
    ("import pkg", {"pkg/__init__.py": "from .inner import x", "pkg/inner.py": "x = 1"}, "pkg/inner.py"),
    ("import pkg.inner", {"pkg/__init__.py": "", "pkg/inner.py": ""}, "pkg/__init__.py"),
    ("from pkg import inner", {"pkg/__init__.py": "", "pkg/inner.py": ""}, "pkg/inner.py"),
    ("from pkg.inner import x", {"pkg/__init__.py": "", "pkg/inner.py": "x = 1"}, "pkg/inner.py"),
    ("import spaces.inner", {"spaces/inner.py": ""}, "spaces/inner.py"),
    (
        "import pkg.sub.low",
        {
            "pkg/__init__.py": "",
            "pkg/sub/__init__.py": "",
            "pkg/sub/low.py": "from .. import top\nfrom ..side import x",
            "pkg/top.py": "",
            "pkg/side.py": "x = 1",
        },
        "pkg/side.py",
    ),
    ("import broken", {"broken.py": "def ("}, "broken.py"),
]


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def digests(folder: Path, module: str = "main_of_test") -> tuple[str, str]:
    """Of the class and the function; what they import need not be there."""
    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_loader(module, None, origin=str(file))
    assert spec is not None
    loaded = importlib.util.module_from_spec(spec)
    loaded.__file__ = str(file)
    sys.modules[module] = loaded
    try:
        exec(compile(MAIN, str(file), "exec"), vars(loaded))
        return Sources().of_class(loaded.Mine), Sources().of_function(loaded.route)
    finally:
        del sys.modules[module]


def changes(before: tuple[str, str], after: tuple[str, str]) -> bool:
    """Whether both digests change; fails if only one does."""
    differ = {one != two for one, two in zip(before, after, strict=True)}
    assert len(differ) == 1
    return differ.pop()


@pytest.mark.parametrize(("imports", "files", "edited"), CASES)
def test_what_is_imported_counts_by_name_and_content_wherever_it_stands(
    tmp_path: Path, imports: str, files: dict[str, str], edited: str
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere" / "deeper"
    write(here, {"main_of_test.py": f"{imports}\n{MAIN}", **files, "other.py": ""})
    before = digests(here)
    shutil.copytree(here, elsewhere)
    assert not changes(before, digests(elsewhere))
    (here / "other.py").write_text("# nobody imports it")
    assert not changes(before, digests(here))
    (here / edited).write_text((here / edited).read_text() + "# changed\n")
    assert changes(before, digests(here))
    (here / edited).write_text(files[edited])
    assert not changes(before, digests(here))
    (here / edited).unlink()
    assert changes(before, digests(here))


@pytest.mark.parametrize(
    ("imports", "files", "edited"),
    [
        ("from . import helper", {"helper.py": ""}, "helper.py"),
        ("from .helper import x", {"helper.py": "x = 1"}, "helper.py"),
        ("from ..beside import x", {"../beside.py": "x = 1"}, "../beside.py"),
        ("", {"__init__.py": ""}, "__init__.py"),
        ("import helper", {"../../helper.py": ""}, "../../helper.py"),
    ],
)
def test_a_class_in_a_package_imports_from_the_folder_of_its_top_level_module(
    tmp_path: Path, imports: str, files: dict[str, str], edited: str
) -> None:
    package = tmp_path / "mypackage" / "low"
    write(package, {"main_of_test.py": f"{imports}\n{MAIN}", **files})
    before = digests(tmp_path, "mypackage.low.main_of_test")
    (package / edited).write_text("# changed\n")
    assert changes(before, digests(tmp_path, "mypackage.low.main_of_test"))


def test_what_several_classes_import_is_read_once_for_a_start_and_again_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ("first_of_source_test", "second_of_source_test")
    write(tmp_path, {f"{name}.py": f"def later(): import shared_of_source_test\n{MAIN}" for name in names})
    shared = tmp_path / "shared_of_source_test.py"
    shared.write_text("OLD = 1")
    one, other = (importlib.import_module(name).Mine for name in names)
    try:
        before = Sources()
        asked = before.of_class(one)
        shared.write_text("NEW = 1")
        now = Sources()
        assert before.of_class(one) == asked != now.of_class(one)
        assert before.of_class(other) != now.of_class(other)
    finally:
        for name in names:
            del sys.modules[name]


def test_an_edit_that_keeps_size_and_time_is_seen_by_the_next_start_of_a_process(tmp_path: Path) -> None:
    write(tmp_path, {"main_of_test.py": f"import helper\n{MAIN}", "helper.py": "A = 1"})
    helper = tmp_path / "helper.py"
    before, stat = digests(tmp_path), helper.stat()
    while helper.stat().st_ctime_ns == stat.st_ctime_ns:
        helper.write_text("A = 2")
        os.utime(helper, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert changes(before, digests(tmp_path))


def test_environments_and_our_own_packages_are_left_out(tmp_path: Path) -> None:
    left_out = {"env/pyvenv.cfg": "", "env/low.py": "", "common/spec/spec.py": "", "common/__init__.py": ""}
    left_out |= {"penstock/__init__.py": "", "penstock/steps.py": ""}
    write(
        tmp_path,
        {
            "main_of_test.py": f"import env.low\nimport common.spec.spec\nfrom penstock.steps import Step\n{MAIN}",
            **left_out,
        },
    )
    before = digests(tmp_path)
    for name in ("env/low.py", "common/spec/spec.py", "penstock/steps.py"):
        (tmp_path / name).write_text("# changed\n")
    assert not changes(before, digests(tmp_path))


FILES_OF_A_DISTRIBUTION = {
    "pack_of_test/__init__.py": "",
    "pack_of_test/steps.py": f"import beside_of_test, stranger_of_test\nfrom . import words\n{MAIN}",
    "pack_of_test/words.py": "",
    "beside_of_test.py": "",
}


@pytest.mark.parametrize(
    ("folder", "listed"),
    [
        ("site-packages", {"top_level.txt": "pack_of_test\nbeside_of_test\n"}),
        ("site-packages", {"RECORD": "".join(f"{name},,\n" for name in FILES_OF_A_DISTRIBUTION)}),
        ("lib", {"RECORD": "".join(f"{name},,\n" for name in FILES_OF_A_DISTRIBUTION)}),
    ],
    ids=["top_level", "record", "target"],
)
def test_an_installed_class_counts_with_what_it_imports_from_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, listed: dict[str, str]
) -> None:
    installed = tmp_path / folder
    metadata = {"METADATA": "Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n", **listed}
    write(installed, {**FILES_OF_A_DISTRIBUTION, "stranger_of_test.py": ""})
    write(installed / "pack-1.0.dist-info", metadata)
    monkeypatch.syspath_prepend(str(installed))
    found = [digests(installed, "pack_of_test.steps")]
    for name in ("pack_of_test/words.py", "beside_of_test.py", "stranger_of_test.py"):
        (installed / name).write_text("# changed\n")
        found.append(digests(installed, "pack_of_test.steps"))
    assert [changes(one, two) for one, two in pairwise(found)] == [True, True, False]


PROJECTS = {
    "pack": {
        "pack/__init__.py": "",
        "pack/steps.py": "from . import words\nimport pack_words, stranger\nclass Mine: pass",
        "pack/words.py": "",
        "pack_words/__init__.py": "",
    },
    "single": {"single.py": "import single_words\nclass Mine: pass", "single_words.py": ""},
    "space": {
        "space/steps/__init__.py": "from . import words\nimport space.core\nclass Mine: pass",
        "space/steps/words.py": "",
    },
}
OTHERS = {
    "core": {"space/core/__init__.py": "CORE = 1"},
    "stranger": {"stranger/__init__.py": "STRANGER = 1"},
}
MODULES = ("pack.steps", "single", "space.steps")


def install(target: Path, name: str, files: Mapping[str, str]) -> None:
    """As an installer does with a wheel."""
    write(target, files)
    write(
        target / f"{name}-1.0.dist-info",
        {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            "RECORD": "".join(f"{file},sha256=x,1\n" for file in files),
        },
    )


def digests_in_another_process(site: Path, modules: Sequence[str] = MODULES) -> dict[str, str]:
    """Of the class `Mine` of each module, imported as from an environment with this `site-packages`."""
    code = (
        "import importlib, json, site, sys; site.addsitedir(sys.argv[1]); from common.code.source import Sources;"
        "print(json.dumps({m: Sources().of_class(importlib.import_module(m).Mine) for m in sys.argv[2:]}))"
    )
    command = [sys.executable, "-c", code, str(site), *modules]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


@pytest.mark.parametrize("folder", ["site-packages", "lib"], ids=["environment", "target"])
def test_a_checkout_and_an_installation_of_the_same_code_are_alike(tmp_path: Path, folder: str) -> None:
    editable, wheels = tmp_path / "editable" / "site-packages", tmp_path / "wheels" / folder
    for name, files in PROJECTS.items():
        write(tmp_path / name / "src", files)
        write(editable, {f"{name}.pth": str(tmp_path / name / "src")})
        install(wheels, name, files)
    for name, files in OTHERS.items():
        install(editable, name, files)
        install(wheels, name, files)
    first = digests_in_another_process(wheels)
    assert digests_in_another_process(editable) == first
    for file in ("pack/words.py", "pack_words/__init__.py", "single_words.py", "space/steps/words.py"):
        (wheels / file).write_text("# changed")
    assert not set(first.values()) & set(digests_in_another_process(wheels).values())


FINDER = """\
import sys
from importlib.util import spec_from_file_location
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if folder := PLACES.get(name):
            return spec_from_file_location(name, folder + "/__init__.py", submodule_search_locations=[folder])
sys.meta_path.append(Finder)
"""


@pytest.mark.parametrize("module", ["mapped", "mapped.steps"])
def test_a_package_whose_folder_has_another_name_is_as_it_is_installed(tmp_path: Path, module: str) -> None:
    editable, wheel = tmp_path / "editable" / "site-packages", tmp_path / "wheel" / "site-packages"
    code = "from . import words\nimport mapped_words\nclass Mine: pass"
    own = "__init__.py" if module == "mapped" else "steps.py"
    files = {"__init__.py": "", "words.py": "", own: code}
    write(tmp_path / "lib", files)
    write(tmp_path / "more", {"__init__.py": ""})
    places = {"mapped": str(tmp_path / "lib"), "mapped_words": str(tmp_path / "more")}
    install(editable, "mapped", {"mapped.pth": "import finder_of_mapped"})
    write(editable, {"finder_of_mapped.py": f"PLACES = {places}\n{FINDER}"})
    write(editable / "mapped-1.0.dist-info", {"top_level.txt": "mapped\nmapped_words\n"})
    install(
        wheel, "mapped", {**{f"mapped/{name}": text for name, text in files.items()}, "mapped_words/__init__.py": ""}
    )
    found = digests_in_another_process(wheel, [module])
    assert digests_in_another_process(editable, [module]) == found
    for file in (tmp_path / "lib" / "words.py", tmp_path / "more" / "__init__.py"):
        file.write_text("# changed")
        assert digests_in_another_process(editable, [module]) != found
        file.write_text("")


def test_a_module_that_its_place_does_not_name_counts_with_what_is_beside_it(tmp_path: Path) -> None:
    def found() -> str:
        spec = importlib.util.spec_from_file_location("plugins_of_test.mine", tmp_path / "some.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = sys.modules["plugins_of_test.mine"] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(loaded)
            return Sources().of_class(loaded.Mine)
        finally:
            del sys.modules["plugins_of_test.mine"]

    files = {"some.py": "def later():\n    import helper\n    from . import words\nclass Mine: pass"}
    write(tmp_path, {**files, "helper.py": "", "words.py": ""})
    first = found()
    for name in ("helper.py", "words.py"):
        (tmp_path / name).write_text("# changed")
        assert found() != first
        (tmp_path / name).write_text("")
