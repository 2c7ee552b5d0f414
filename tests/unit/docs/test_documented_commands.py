"""Each Penstock command that a page shows is valid: its options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from coordinator.cli import group
from tests.support.places import REPOSITORY
from worker.cli import command as worker_command

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS: dict[str, click.Command] = {"pipeline-coordinator": group, "pipeline-worker": worker_command}
ENDS = {"|", ">", "&&", ";"}


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command line that calls a Penstock program, whatever precedes it."""
    for block in BLOCK.finditer(text):
        for line in block["text"].replace("\\\n", " ").splitlines():
            if not any(name in line for name in PROGRAMS):
                continue
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # what a program prints
                continue
            for place, word in enumerate(words):
                if Path(word).name in PROGRAMS:
                    rest = words[place + 1 :]
                    end = next((number for number, each in enumerate(rest) if each in ENDS), len(rest))
                    yield [Path(word).name, *rest[:end]]
                    break


def understand(words: list[str]) -> None:
    """Raises click.UsageError for an option or a command that is not there."""
    command, rest, context = PROGRAMS[words[0]], words[1:], click.Context(PROGRAMS[words[0]])
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, context, name)
    command.make_parser(context).parse_args(list(rest))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for words in commands(page.read_text()):
        understand(words)


def test_commands_are_found_wherever_they_stand() -> None:
    lines = (
        "A=1 pipeline-coordinator run x.yaml  # why",
        "sudo /opt/bin/pipeline-worker --step a \\",
        "  --allow b | cat",
    )
    assert list(commands("\n".join(("```", *lines, "```", "")))) == [
        ["pipeline-coordinator", "run", "x.yaml"],
        ["pipeline-worker", "--step", "a", "--allow", "b"],
    ]
    with pytest.raises(click.UsageError):
        understand(["pipeline-coordinator", "run", "x.yaml", "--worker", "none", "--never"])
