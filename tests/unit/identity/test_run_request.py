"""A run option is one place: a field of a request, from which everything follows that it can be given or shown by."""

from __future__ import annotations

import inspect
import shlex
from dataclasses import dataclass, fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from coordinator import Pipeline
from coordinator.cli import group
from coordinator.commands.options import run_options
from coordinator.identity.request import ProgramRequest, RunRequest, asked_with, option, options_of
from coordinator.identity.run_command import recipe, resume_command
from tests.support.places import REPOSITORY

PAGE = REPOSITORY / "docs" / "python.md"
SPEC = Path("spec.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coloured(RunRequest):
    """With an option more."""

    colour: str = option("red", "What it looks like.", "--colour", again="recipe", signed=True)


class Painter:
    @asked_with(Coloured)
    def paint(self, request: Coloured) -> tuple[Painter, str]:
        """Paints.

        Returns:
            itself, and the colour.
        """
        return self, request.colour


def test_an_option_is_one_field_from_which_all_else_follows() -> None:
    given: list[Coloured] = []
    command = click.command("x")(run_options(lambda **options: given.append(Coloured(**options)), Coloured))
    assert CliRunner().invoke(command, ["--colour", "blue"]).exit_code == 0
    assert "What it looks like." in CliRunner().invoke(command, ["--help"]).output
    (request,) = given
    assert request.signed_options == {"limit": None, "dry_run": False, "colour": "blue"}
    assert resume_command(request).endswith(" --colour blue")
    assert recipe(request).endswith(" --colour blue")
    painter = Painter()
    assert painter.paint(colour="green") == (painter, "green")
    assert "colour: What it looks like." in (Painter.paint.__doc__ or "")
    assert inspect.signature(Painter.paint).parameters["colour"].default == "red"


def test_what_a_program_may_ask_for_is_what_run_takes() -> None:
    parameters = list(inspect.signature(Pipeline.run).parameters)
    assert parameters == ["self", *(field.name for field in fields(ProgramRequest))]
    assert parameters[1:4] == ["parameters", "use_cache", "broker"]  # these by place as well
    with pytest.raises(TypeError, match="limits"):
        Pipeline("p").run(limits=3)  # type: ignore[call-arg]


def test_every_field_of_a_request_is_an_option_or_is_explained() -> None:
    document = inspect.getdoc(RunRequest) or ""
    options = {field.name for field, _ in options_of(RunRequest)}
    assert {field.name for field in fields(RunRequest)} - options == {"spec", "command", "environment"}
    for name in ("spec", "command", "environment"):
        assert f"    {name}: " in document


def test_the_page_about_python_says_of_each_option_what_help_says() -> None:
    page = PAGE.read_text()
    for field, told in options_of(ProgramRequest):
        unset = "False: " if field.default is True and told.flag else ""
        assert f"| `{field.name}` | {unset}{told.help} |" in page


def test_the_command_that_resumes_a_run_is_read_back_as_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_BROKER_URL", raising=False)
    request = RunRequest(
        spec=SPEC,
        broker="redis://host/1",
        workers="external",
        output=Path("my folder"),
        overwrite=True,
        limit=3,
        payloads="s3://bucket/rows",
        standby=True,
        overrides=("a.b=1", "c.d=x y"),
        run_id="mine",
        cache_dir=Path("cache"),
        allow=("one", "two"),
        push_to_hub="me/rows",
        private=True,
    )
    program, name, spec, *words = shlex.split(resume_command(request))
    assert (program, name, spec) == ("pipeline-coordinator", "run", "spec.yaml")
    command = group.get_command(click.Context(group), "run")
    assert command is not None
    options = command.make_context("run", [spec, *words]).params
    assert RunRequest(**options) == request


def test_what_starts_over_or_keeps_nothing_is_not_said_again() -> None:
    assert resume_command(RunRequest(spec=SPEC, use_cache=False, dry_run=True)) == "pipeline-coordinator run spec.yaml"


def test_a_broker_that_the_environment_names_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "redis://:secret@host/1"
    monkeypatch.setenv("PENSTOCK_BROKER_URL", url)
    assert resume_command(RunRequest(spec=SPEC, broker=url)) == "pipeline-coordinator run spec.yaml"
    monkeypatch.delenv("PENSTOCK_BROKER_URL")
    assert "secret" not in resume_command(RunRequest(spec=SPEC, broker=url))


def test_the_recipe_holds_what_makes_the_same_rows_elsewhere() -> None:
    request = RunRequest(spec=SPEC, limit=3, allow=("mysteps",), output=Path("out"), run_id="mine", broker="redis://h")
    assert recipe(request) == "pipeline-coordinator run pipeline.yaml --limit 3 --allow mysteps"
