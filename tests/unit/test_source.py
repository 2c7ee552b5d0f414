"""What counts as the code of a class: its file, and what its imports lead to, within its folder or its distribution."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from common.source import function_digest, source_digest

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
        return source_digest(loaded.Mine), function_digest(loaded.route)
    finally:
        del sys.modules[module]


def changes(before: tuple[str, str], after: tuple[str, str]) -> bool:
    """Both digests or none."""
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


def test_environments_and_our_own_packages_are_left_out(tmp_path: Path) -> None:
    left_out = {"env/pyvenv.cfg": "", "env/low.py": "", "common/spec.py": "", "common/__init__.py": ""}
    write(tmp_path, {"main_of_test.py": f"import env.low\nimport common.spec\n{MAIN}", **left_out})
    before = digests(tmp_path)
    for name in ("env/low.py", "common/spec.py"):
        (tmp_path / name).write_text("# changed\n")
    assert not changes(before, digests(tmp_path))


def test_an_installed_class_counts_with_what_it_imports_from_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    write(
        installed,
        {
            "pack_of_test/__init__.py": "",
            "pack_of_test/steps.py": f"import beside_of_test, stranger_of_test\nfrom . import words\n{MAIN}",
            "pack_of_test/words.py": "",
            "beside_of_test.py": "",
            "stranger_of_test.py": "",
            "pack-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n",
            "pack-1.0.dist-info/top_level.txt": "pack_of_test\nbeside_of_test\n",
        },
    )
    monkeypatch.syspath_prepend(str(installed))
    found = [digests(installed, "pack_of_test.steps")]
    for name in ("pack_of_test/words.py", "beside_of_test.py", "stranger_of_test.py"):
        (installed / name).write_text("# changed\n")
        found.append(digests(installed, "pack_of_test.steps"))
    assert [changes(one, two) for one, two in pairwise(found)] == [True, True, False]
