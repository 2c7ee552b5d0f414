"""`pipeline-coordinator prompt`: shows what a task sends for a row, and with `--ask` what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from coordinator.commands.options import allow_option, say, say_aside, set_option, spec_argument

if TYPE_CHECKING:
    from common.llms.prices import Prices
    from common.protocol.usage import Usage
    from common.steps.base import Row
    from common.steps.tasks.asking_step import AskingStep
    from coordinator.launch.one_row import OneRow

CONVERSATION = ("messages", "input", "prompt", "system", "instructions")
"""Keys of a request that hold what is shown apart from it."""


@click.command(short_help="Show what a task sends to its model for a row.")
@spec_argument
@click.argument("step")
@click.option("--row", "number", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the row.")
@click.option(
    "--row-json",
    type=click.File(),
    metavar="FILE",
    help="A file with the row as it arrives at STEP, a JSON object; - for stdin. No other step is run.",
)
@click.option(
    "--ask", is_flag=True, help="Ask the models, of the steps before as well, and show what comes. This may cost money."
)
@set_option
@allow_option
def prompt(
    spec: Path,
    step: str,
    number: int,
    row_json: IO[str] | None,
    ask: bool,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
) -> None:
    """Shows what STEP of SPEC sends to its model for one row: the messages, the options, and the form of the answer.

    The row is that of the data with the given number, counted from 0, as the steps before STEP change it. Those that
    ask a model are left out without --ask.
    """
    from common.llms.metering import Meter, Tally, use_tally
    from coordinator.engine.billing import prices_of
    from coordinator.launch.one_row import OneRow
    from coordinator.plan.load import prepare

    prepared = prepare(spec, overrides, allow, to_run=ask)
    way, meters = OneRow(prepared, number, ask), (Meter(), Meter())
    task = way.task(step)
    use_tally(Tally(meters[0]))
    row = _row(way, task, row_json)
    for name in way.left_out:
        say_aside(f"Step '{name}' asks a model and was left out; --ask asks it.")
    if way.passes_by(task, row):
        say(f"The row passes step '{task.name}' by, which asks nothing: skip_when: {task.skip_when}")
        return
    _say_sent(task, row)
    if not ask:
        return
    use_tally(Tally(meters[1]))
    has_come = _say_answers(task, row, number)
    for title, meter in zip(("steps before", "this step"), meters, strict=True):
        if meter.spent:
            say(f"{title:<14}{_taken(meter.spent, prices_of(prepared.spec))}")
    if not has_come:
        raise click.exceptions.Exit(1)


def _row(way: OneRow, task: AskingStep, given: IO[str] | None) -> Row:
    """The row as it arrives at the task; of a generator task, what it begins with."""
    import json

    from common.errors import UsageError
    from common.steps.tasks.generator_task import GeneratorTask

    if given is not None:
        try:
            row = json.load(given)
        except ValueError as error:
            raise UsageError(f"--row-json: {given.name} is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise UsageError(
                f"--row-json: {given.name} does not hold a row, a JSON object with a value for each column"
            )
        return row
    if isinstance(task, GeneratorTask):
        return task.seed_row(way.number)
    return way.arriving(task.name)


def _say_sent(task: AskingStep, row: Row) -> None:
    """The conversation, the options and the form.

    Raises:
        PromptError: no prompt can be made from the row.
    """
    from common.llms.endpoint_llm import EndpointLLM
    from common.llms.media.parts import described
    from common.steps.mappings import apply_input_mappings_to_row
    from common.steps.tasks.forms import llm_with_form

    task.load()
    messages, form = task.asker.messages(apply_input_mappings_to_row(task, row)[0])
    messages = described(messages)
    llm = task.llm if form is None else llm_with_form(task.llm, form, {})
    at = f" at {llm.served_at}" if llm.served_at else ""
    say(f"Step '{task.name}' asks model '{llm.model_name}'{at}:\n")
    for message in llm.stated(messages) if isinstance(llm, EndpointLLM) else messages:
        say(f"[{message['role']}]\n{message['content']}\n")
    options: dict[str, Any] = dict(llm.generation_kwargs)
    if isinstance(llm, EndpointLLM):
        _, request = llm.asks(messages)
        options = {name: value for name, value in request.items() if name not in CONVERSATION}
    if options:
        say(f"with          {_json(options)}")
    if wanted := llm.answer_form:
        say(f"in the form   {_json(wanted.model_dump(by_alias=True, exclude_defaults=True))}")


def _say_answers(task: AskingStep, row: Row, number: int) -> bool:
    """What came; returns whether the task could read it."""
    from common.errors import RowError
    from common.steps.base import AsyncStep, GeneratorStep
    from common.steps.metadata import METADATA
    from coordinator.launch.one_row import generated, processed

    task._enable_metadata, task.add_raw_input, task.add_raw_output = True, True, True
    column = task.output_mappings.get(METADATA, METADATA)
    try:
        if isinstance(task, GeneratorStep):
            task.load()
            rows = generated(task, number)
        else:
            assert isinstance(task, AsyncStep)
            rows = processed(task, row)
    except RowError as error:
        _say_raw(task, error.columns.get(METADATA))
        say(f"The row fails: {error}\n")
        return False
    for made in rows:
        _say_raw(task, made.get(column))
        for name, value in made.items():
            if name != column and (name not in row or row[name] != value):
                say(f"{name + ':':<14}{_json(value)}")
        say("")
    return True


def _say_raw(task: AskingStep, metadata: Any) -> None:
    for text in _texts((metadata or {}).get(f"raw_output_{task.name}")):
        say(f"[assistant]\n{text}\n")


def _texts(raw: Any) -> Iterator[str]:
    """Of one answer, of several, or of several generations with several answers each."""
    if isinstance(raw, list):
        for each in raw:
            yield from _texts(each)
    elif raw is not None:
        yield raw


def _taken(usage: Usage, prices: Prices) -> str:
    """Answers, tokens and cost of calls."""
    from common.llms.prices import Cost
    from common.words.wording import count

    total = usage.total
    known = total.unreported < total.requests
    tokens = f"{total.input_tokens:,} tokens in, {total.output_tokens:,} tokens out" if known else "tokens unknown"
    cost = Cost.of((model, counts, prices.of(model)) for model, counts in usage.models)
    return f"{count(total.requests, 'answer')}, {tokens}, {cost}"


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)
