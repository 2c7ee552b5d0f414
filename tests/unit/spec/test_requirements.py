"""Requirements of steps and pipelines, against the packages that are installed here and some invented ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.building.signature import run_signature
from common.errors import SpecFault, UsageError
from common.spec.requirements import check_requirements
from common.spec.spec import PipelineSpec
from common.steps import Step, StepInput, StepOutput, requirements


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`penstock-sample` 1.4 with the extras fast (needs pydantic), gpu (needs what is not there) and all (both)."""
    folder = tmp_path / "penstock_sample-1.4.dist-info"
    folder.mkdir()
    lines = [
        "Metadata-Version: 2.1",
        "Name: penstock-sample",
        "Version: 1.4",
        *(f"Provides-Extra: {extra}" for extra in ("fast", "gpu", "all", "loop")),
        "Requires-Dist: never-looked-at",
        'Requires-Dist: pydantic>=2; extra == "fast"',
        'Requires-Dist: penstock-nothing>=3; extra == "gpu"',
        'Requires-Dist: penstock-sample[fast,gpu]; extra == "all"',
        'Requires-Dist: penstock-sample[loop]; extra == "loop"',
    ]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "met",
    [
        "penstock-sample",
        "Penstock_Sample>=1.2,<2",
        "penstock-sample~=1.4",
        "penstock-sample[fast]",
        "penstock-sample[loop]",
        'penstock-nothing; python_version < "3"',
    ],
)
def test_what_is_installed_is_enough(packages: Path, met: str) -> None:
    check_requirements([("step 'a'", [met])])


@pytest.mark.parametrize(
    ("unmet", "why"),
    [
        ("penstock-nothing>=2", "it is not installed"),
        ("penstock-sample>=2", "1.4 is installed"),
        ("penstock-sample!=1.4", "1.4 is installed"),
        ("penstock-sample[gpu]", "1.4 is installed without [gpu], which needs penstock-nothing>=3"),
        ("penstock-sample[all]", "1.4 is installed without [all], which needs penstock-sample[fast,gpu]"),
        ("penstock-sample[other]", "1.4 is installed, which has no extra [other]"),
        ('penstock-nothing; python_version > "3"', "it is not installed"),
    ],
)
def test_what_is_missing_is_said_with_what_is_there(packages: Path, unmet: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_requirements([("step 'a'", [unmet])])
    assert f"step 'a' needs {unmet}: {why}. Install" in str(caught.value)


def test_everything_is_named_at_once_with_one_command(packages: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check_requirements([("the pipeline", ["penstock-nothing"]), ("step 'b'", ["pydantic>=2", "penstock-sample<1"])])
    assert str(caught.value) == (
        "packages are missing on this host: the pipeline needs penstock-nothing: it is not installed; step 'b' needs "
        "penstock-sample<1: 1.4 is installed. Install them with: pip install penstock-nothing 'penstock-sample<1'"
    )


def test_a_class_needs_what_it_says_and_what_its_base_needs() -> None:
    @requirements(["one>=1"])
    class Base(Step):
        def process(self, inputs: StepInput) -> StepOutput:
            yield inputs

    @requirements(["two", "one>=1"])
    class Derived(Base):
        pass

    assert Base.requirements == ["one>=1"]
    assert Derived.requirements == ["one>=1", "two"]
    assert Step.requirements == []
    assert Derived(name="d").requirements == ["one>=1", "two"]


@pytest.mark.parametrize("wrong", [["one>>1"], "one"])
def test_what_is_no_requirement_is_refused_where_it_is_written(wrong: list[str]) -> None:
    with pytest.raises(UsageError, match=r"not a requirement|takes a list"):
        requirements(wrong)


def test_a_spec_with_something_that_is_no_requirement_is_refused_with_its_place() -> None:
    with pytest.raises(SpecFault) as caught:
        PipelineSpec.from_dict({"name": "demo", "steps": {}, "requirements": ["fine>=1", "one>>1"]})
    assert caught.value.loc == ("requirements", 1)
    assert "'one>>1' is not a requirement" in caught.value.message


def test_requirements_survive_a_dump() -> None:
    spec = PipelineSpec.from_dict({"name": "demo", "steps": {}, "requirements": ["fine>=1"]})
    assert PipelineSpec.from_dict(spec.dump()).requirements == ["fine>=1"]


def test_requirements_do_not_make_another_run() -> None:
    specs = [PipelineSpec.from_dict({"name": "demo", "steps": {}, "requirements": each}) for each in ([], ["fine>=1"])]
    assert len({run_signature(spec, {}, {}, {}) for spec in specs}) == 1
