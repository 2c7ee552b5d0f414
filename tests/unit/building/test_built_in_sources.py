"""What counts as the code of built-in classes: the version that they declare, not the files that they are in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.building.signature import Identity
from common.code.source import Sources
from common.steps import GroupColumns, KeepColumns, LoadDataFromDicts
from coordinator.identity.earlier_runs import lines_about_earlier_runs
from coordinator.plan.load import prepare
from coordinator.runs.run_directory import RunDirectory, RunRecord
from tests.support.built_in_sources import problems, recorded, source_in
from tests.support.places import REPOSITORY

SPEC = """\
name: before
steps:
  load: {type: LoadDataFromDicts, data: [{instruction: a, text: b}]}
  sample: {type: DataSampler, data: [{instruction: a, text: b}], size: 1, samples: 2}
  keep: {type: KeepColumns, after: [load], columns: [instruction]}
  cut: {type: TruncateTextColumn, after: sample, column: text}
  ask: {type: MergeColumns, after: keep, columns: [instruction], output_column: merged}
  other: {type: ExpandColumns, after: keep, columns: [instruction]}
  join: {type: CombineOutputs, after: [ask, other]}
routing: {keep: {function: sample_n_steps, n: 1}}
"""
WHEN_FILES_COUNTED = "b0caef42269793a8b798ca51f9ee958d"
"""The signature of this spec at the last commit at which the files of the built-in classes counted."""

MODULE = """\
import re

LIMIT = 3
OTHER = 4


def helper(text):
    \"\"\"Says what.\"\"\"
    return text[:LIMIT]  # a comment


class Cut:
    \"\"\"Cuts.\"\"\"

    _version: ClassVar[int] = 1

    def process(self, text):
        # why
        return helper(text)
"""


class Kept(KeepColumns):
    """A user's class."""


def test_each_change_of_a_built_in_class_has_a_version_or_a_waiver() -> None:
    assert list(problems(recorded())) == [], "python -m tests.support.built_in_sources [--waive REASON]"


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        ({"version": 1, "source": "other"}, "KeepColumns has changed without another _version"),
        ({"version": 0, "source": "other"}, "KeepColumns has changed"),
    ],
)
def test_a_change_that_the_golden_file_does_not_have_is_found(last: dict[str, Any], problem: str) -> None:
    assert list(problems(recorded() | {"KeepColumns": [last]})) == [problem]


def test_a_source_without_a_version_of_its_own_needs_a_waiver() -> None:
    known = recorded()
    first, last = {"version": 1, "source": "before"}, known["KeepColumns"][-1]
    waived = {**last, "waiver": "a name is another one"}
    assert list(problems(known | {"KeepColumns": [first, waived]})) == []
    (problem,) = problems(known | {"KeepColumns": [first, {**last, "waiver": ""}]})
    assert problem.endswith("has neither a version of its own nor a waiver")


def test_a_class_that_is_new_or_gone_is_found() -> None:
    known = recorded()
    gone = {"Gone": known.pop("KeepColumns")}
    assert sorted(problems(known | gone)) == ["Gone is not built in any more", "KeepColumns is new"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return helper(text)", "return helper(text).strip()"),
        ("return text[:LIMIT]", "return text[1:LIMIT]"),
        ("LIMIT = 3", "LIMIT = 5"),
    ],
)
def test_the_source_of_a_class_is_its_code_and_what_it_uses_of_its_module(old: str, new: str) -> None:
    assert source_in(MODULE.replace(old, new), "Cut") != source_in(MODULE, "Cut")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("OTHER = 4", "OTHER = 5"),
        ("import re", "import json"),
        ("        # why\n", "\n\n"),
        ('"""Says what."""', '"""Says\n    more."""'),
        ("_version: ClassVar[int] = 1", "_version: ClassVar[int] = 2"),
    ],
)
def test_what_makes_no_other_rows_is_not_in_the_source(old: str, new: str) -> None:
    assert old in MODULE
    assert source_in(MODULE.replace(old, new), "Cut") == source_in(MODULE, "Cut")


def test_a_run_of_the_time_when_files_counted_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    made = prepare(tmp_path / "spec.yaml")
    assert Identity.of(made.spec, made.steps, made.routing, {}).signature == WHEN_FILES_COUNTED


def test_another_version_is_other_code_also_of_classes_that_are_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [Sources().of_class(cls) for cls in (KeepColumns, Kept, GroupColumns)]
    monkeypatch.setattr(KeepColumns, "_version", 2)
    after = [Sources().of_class(cls) for cls in (KeepColumns, Kept, GroupColumns)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_a_built_in_class_may_be_moved_and_edited_without_becoming_other_code(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from common.steps import KeepColumns\n\n\nclass Mine(KeepColumns):\n    version: str\n"
    )
    digests = (
        "from common.code.source import Sources\nfrom common.steps import KeepColumns\nfrom mine import Mine\n"
        "print(*map(Sources().of_class, (KeepColumns, Mine)), KeepColumns.__module__)"
    )

    def run(root: Path) -> list[str]:
        command = [sys.executable, "-P", "-c", digests]
        env = {"PYTHONPATH": f"{root}:{tmp_path}"}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.split()

    copy = tmp_path / "copy"
    shutil.copytree(REPOSITORY / "common", copy / "common", ignore=shutil.ignore_patterns("__pycache__"))
    moved = copy / "common" / "steps" / "of_columns.py"
    (copy / "common" / "steps" / "columns" / "rearrange.py").rename(moved)
    moved.write_text(moved.read_text() + "# edited\n")
    catalogue = copy / "common" / "naming" / "catalogue.py"
    catalogue.write_text(catalogue.read_text().replace("common.steps.columns.rearrange", "common.steps.of_columns"))
    assert run(REPOSITORY)[:2] == run(copy)[:2]
    assert (run(REPOSITORY)[2], run(copy)[2]) == ("common.steps.columns.rearrange", "common.steps.of_columns")


def test_a_user_may_call_a_parameter_of_a_class_that_is_made_of_a_built_in_one_version() -> None:
    class Loaded(LoadDataFromDicts):
        version: str

    with pytest.raises(ValueError, match="version"):
        Loaded(data=[{"a": 1}])
    assert Loaded(data=[{"a": 1}], version="b").version == "b"


def test_a_run_that_differs_in_the_source_alone_is_named_before_another_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "loaders_of_a_test.py").write_text(
        "from common.steps import LoadDataFromDicts\n\n\nclass Mine(LoadDataFromDicts):\n    pass\n"
    )
    (tmp_path / "spec.yaml").write_text(
        'name: alone\nsteps:\n  load: {type: "loaders_of_a_test:Mine", data: [{a: 1}, {a: 2}]}\n'
    )
    made = prepare(tmp_path / "spec.yaml")
    now = Identity.of(made.spec, made.steps, made.routing, {})
    before = Identity(now.whole, {"load": {**now.steps["load"], "source": ["when files counted"]}})
    with RunDirectory.of(tmp_path, "alone", before.signature) as directory:
        directory.write(
            RunRecord(
                run="alone-1",
                pipeline="alone",
                signature=before.signature,
                status="stopped",
                rows={"load": 1},
                identity=before.digests(),
            )
        )
    here = RunDirectory.of(tmp_path, "alone", now.signature)
    assert list(lines_about_earlier_runs(here, made, now, {})) == [
        "the parameters of all steps are the same as in run alone-1; this is a new run, since the source (or what it "
        "imports) of step 'load' changed: 1 row will be produced again"
    ]
    sys.modules.pop("loaders_of_a_test", None)
