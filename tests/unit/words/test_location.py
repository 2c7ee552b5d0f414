"""Where an error was raised, for its user: the innermost line of code that is not of an installed package."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from common.errors import describe
from common.steps.columns.rearrange import KeepColumns
from common.templates.prompt import PromptTemplate

USER = """
import json
import installed

def parse(text):
    return json.loads(text)      # line 6

def call(function):
    return installed.call(function)

def outer():
    return call(lambda: {}["missing"])   # line 12
"""
INSTALLED = """
from other_installed import deep

def call(function):
    return function()

def own():
    return deep()      # line 8
"""
OTHER = "import json\n\ndef deep():\n    return json.loads('{')\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    packages = tmp_path / "venv" / "lib" / "python3" / "site-packages"
    (packages / "installed").mkdir(parents=True)
    (packages / "installed" / "__init__.py").write_text(INSTALLED)
    (packages / "other_installed.py").write_text(OTHER)
    (tmp_path / "users.py").write_text(USER)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.syspath_prepend(str(tmp_path))
    import users  # type: ignore[import-not-found]

    yield users
    for name in ("users", "installed", "other_installed"):
        sys.modules.pop(name, None)


def caught(act: object) -> BaseException:
    with pytest.raises(Exception) as raised:
        act()  # type: ignore[operator]
    # As a worker sees it: the frames of this test are not there.
    trace = raised.value.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return raised.value.with_traceback(trace)


def test_it_is_the_users_line_and_not_that_of_a_library_it_calls(modules: ModuleType, tmp_path: Path) -> None:
    assert describe(caught(lambda: modules.parse("{"))).endswith(f" (at {tmp_path}/users.py:6)")
    assert describe(caught(modules.outer)) == f"KeyError: 'missing' (at {tmp_path}/users.py:12)"


def test_of_a_step_that_is_installed_it_is_a_line_of_its_own_package(modules: ModuleType, tmp_path: Path) -> None:
    assert "site-packages/installed/__init__.py:8)" in describe(caught(modules.installed.own))


def test_an_error_of_ours_says_it_all_in_words() -> None:
    kept = caught(lambda: list(KeepColumns(columns=["a"]).process([{}])))
    assert describe(kept) == "RowError: the row has no column 'a'; it has none"
    made = caught(lambda: PromptTemplate("{{ a.center(99999999) }}").render({"a": "b"}))
    assert describe(made).endswith("characters; at most 10,000 are allowed")


def test_of_another_error_in_our_code_or_pythons_it_is_the_line_that_raised() -> None:
    assert "/common/" in describe(caught(lambda: list(KeepColumns(columns=["a"]).process(None))))  # type: ignore[arg-type]
    assert "json/decoder.py:" in describe(caught(lambda: json.loads("{")))
    assert describe(ValueError("no traceback")) == "ValueError: no traceback"


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_say_its_message_is_described_all_the_same() -> None:
    assert describe(Unsayable()) == "Unsayable: (its message is unavailable: RuntimeError)"
