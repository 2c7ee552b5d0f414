"""`pipeline-coordinator validate`: checks a spec without starting anything."""

from __future__ import annotations

from pathlib import Path

import click

from coordinator.commands.options import allow_option, say, set_option, spec_argument, workers_option


@click.command(short_help="Check whether a spec is valid.")
@spec_argument
@set_option
@allow_option
@workers_option
def validate(spec: Path, overrides: tuple[str, ...], allow: tuple[str, ...], workers: str) -> None:
    """Checks SPEC for everything that can be found before a run, and starts nothing.

    A mistake gives one message with file and line, and exit code 2. Anything that may be unintended, such as a column
    that is overwritten, gives a line that begins with "warning".
    """
    from common.words.wording import count
    from coordinator.plan.cautions import cautions
    from coordinator.plan.host_check import check_host
    from coordinator.plan.load import prepare

    prepared = prepare(spec, overrides, allow, external=workers == "external")
    if workers == "local":
        check_host(prepared)
    plan = prepared.plan
    edges = sum(len(step.predecessors) for step in plan.steps.values())
    say(f"{spec} is valid: {count(len(plan.steps), 'step')}, {count(edges, 'edge')}")
    say(f"  from {_listed(plan.generators)} to {_listed(plan.leaves)}")
    for name, why in prepared.undescribed.items():
        say(f"  '{name}' can only be checked by one of its workers: {why}")
    for line in cautions(prepared):
        say(f"warning: {line}")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
