"""`pipeline-coordinator cache`: looks after the kept answers of models, on this host or in a broker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from coordinator.commands.options import Age, allow_option, cache_option, say, set_option, spec_argument

if TYPE_CHECKING:
    from common.llms.answers.housekeeping import Nearest
    from common.llms.answers.request_key import Family
    from common.llms.answers.shelves import Shelf

    Asks = Callable[[list[Any]], tuple[Family, dict[str, Any]]]

WAIT_SECONDS = 30.0
MOST_SHOWN = 5
F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Size(click.ParamType[int]):
    """A number of bytes such as `500MB` or `2GB`."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", str(value).strip().lower())
        if found is None:
            self.fail(f"'{value}' is not a size; write a number and a unit: 500MB, 2GB", param, ctx)
        return int(float(found.group(1)) * UNITS[found.group(2)])


def place_options(command: F) -> F:
    """Where the answers are."""
    in_broker = click.option("--broker", metavar="URL", help="The answers that runs with --answers broker keep there.")
    return cache_option(in_broker(command))


@click.group(short_help="Look after the kept answers of models.")
def cache() -> None:
    """Looks after the answers of models that workers have kept, on this host or, with --broker, in a broker.

    The commands may run beside runs.
    """


@cache.command(short_help="List the models whose answers are kept.")
@place_options
def ls(cache_dir: Path | None, broker: str | None) -> None:
    """Lists the models, with how many answers of each are kept, their size and age."""
    from rich.table import Table
    from rich.text import Text

    from common.words.wording import ago, size
    from coordinator.view.console import show

    with _opened(cache_dir, broker) as shelf:
        if shelf is None:
            return
        found = shelf.groups()
    if not found:
        say("No answers are kept.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model", overflow="fold")
    for name in ("answers", "of them bad", "size", "oldest", "newest"):
        table.add_column(name, justify="right", no_wrap=True)
    now = time.time()
    for group in found:
        first, last = ago(now - group.first), ago(now - group.last)
        table.add_row(Text(group.model), f"{group.answers:,}", f"{group.rejected:,}", size(group.bytes), first, last)
    show(table)


@cache.command(short_help="Show how much room the kept answers take.")
@place_options
def du(cache_dir: Path | None, broker: str | None) -> None:
    """Shows the size of the file of kept answers, and what part of it is in use; or the memory that they take."""
    from common.words.wording import count, size

    with _opened(cache_dir, broker) as shelf:
        if shelf is None:
            return
        answers = count(sum(group.answers for group in shelf.groups()), "answer")
        whole, used = shelf.sizes()
    in_use = f", {size(used)} of it in use" if broker is None else ""
    say(f"{shelf.shown}: {size(whole)} for {answers}{in_use}")


@cache.command(short_help="Delete the oldest kept answers.")
@click.option(
    "--older-than", type=Age(), help="Delete answers that are older: 12h, 30d, 2w; in a broker, unused for so long."
)
@click.option("--keep", type=Size(), help="Delete the oldest until all take at most this much room: 500MB, 2GB.")
@place_options
def prune(older_than: float | None, keep: int | None, cache_dir: Path | None, broker: str | None) -> None:
    """Deletes the oldest kept answers. Runs that ask for them again pay again."""
    from common.errors import UsageError
    from common.words.wording import count

    if older_than is None and keep is None:
        raise UsageError("say what to delete, such as --older-than 30d, or what to keep, such as --keep 2GB")
    with _opened(cache_dir, broker) as shelf:
        if shelf is None:
            return
        deleted = shelf.delete_older(time.time() - older_than) if older_than is not None else 0
        deleted += shelf.keep_within(keep) if keep is not None else 0
    say(f"Deleted {count(deleted, 'answer')}.")


@cache.command(short_help="Delete all kept answers.")
@place_options
def clear(cache_dir: Path | None, broker: str | None) -> None:
    """Deletes all kept answers. Runs that ask for them again pay again."""
    from common.words.wording import count

    with _opened(cache_dir, broker) as shelf:
        if shelf is None:
            return
        deleted = shelf.clear()
    say(f"Deleted {count(deleted, 'answer')}.")


@cache.command(short_help="Say why a step does not find its answers.")
@spec_argument
@click.argument("step")
@click.option(
    "--prompt",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with the prompt of a row: a JSON list of messages, or the user's message (or text to encode) as text.",
)
@set_option
@allow_option
@place_options
def explain(
    spec: Path,
    step: str,
    prompt: Path | None,
    overrides: tuple[str, ...],
    allow: tuple[str, ...],
    cache_dir: Path | None,
    broker: str | None,
) -> None:
    """Compares what STEP of SPEC asks with the kept answers, and names the parts in which the nearest ones differ.

    Without --prompt, everything but the prompts is compared.
    """
    from common.llms.answers.request_key import parts_of

    for asks in _asks(spec, step, overrides, allow):
        asked = asks(_messages(prompt))
        with _opened(cache_dir, broker) as shelf:
            if shelf is None:
                return
            found = shelf.nearest(parts_of(*asked), with_prompt=prompt is not None)
        if not found:
            say("No answers are kept.")
        for near in found[:MOST_SHOWN]:
            _say_nearest(near, step, with_prompt=prompt is not None)


def _say_nearest(near: Nearest, step: str, *, with_prompt: bool) -> None:
    from common.words.wording import count

    answers = count(near.answers, "kept answer")
    if not near.differs:
        say(f"{answers}, the same in all parts{'' if with_prompt else '; the prompts were not compared'}.")
        return
    verb = "differs" if near.answers == 1 else "differ"
    say(f"{answers} {verb} from what step '{step}' asks in this:")
    for part, (there, here) in near.differs.items():
        say(f"  {part}: there {_shown(there)}, here {_shown(here)}")


def _shown(value: str | None) -> str:
    return "nothing" if value is None else value or "''"


def _asks(spec: Path, step: str, overrides: tuple[str, ...], allow: tuple[str, ...]) -> list[Asks]:
    """What the models of a step whose answers may be kept would send."""
    from common.building.components import models_in
    from common.errors import UsageError
    from common.llms.embeddings.endpoint_embeddings import EndpointEmbeddings
    from common.llms.embeddings.openai import OpenAIEmbeddings
    from common.llms.endpoint_llm import EndpointLLM
    from common.steps.vectors.generate_embeddings import GenerateEmbeddings
    from common.words.faults import hint
    from coordinator.plan.load import prepare

    steps = prepare(spec, overrides, allow, to_run=False).steps
    if step not in steps:
        raise UsageError(f"no step '{step}' in {spec}{hint(step, steps, 'the steps are')}")
    whole = isinstance(steps[step], GenerateEmbeddings)
    found: list[Asks] = [
        model.asks_conversation if whole and isinstance(model, OpenAIEmbeddings) else model.asks
        for _, model in models_in(steps[step])
        if isinstance(model, EndpointLLM | EndpointEmbeddings)
    ]
    if not found:
        raise UsageError(f"step '{step}' asks no model at an endpoint, so no answers of it are kept")
    return found


def _messages(prompt: Path | None) -> list[Any]:
    import json

    if prompt is None:
        return []
    text = prompt.read_text()
    try:
        messages = json.loads(text)
    except ValueError:
        messages = None
    is_conversation = isinstance(messages, list) and all(isinstance(one, dict) for one in messages)
    return messages if is_conversation else [{"role": "user", "content": text}]


@contextmanager
def _opened(cache_dir: Path | None, broker: str | None) -> Iterator[Shelf | None]:
    """The kept answers; None, and a line that says so, if there are none.

    Raises:
        RunError: the file or the broker cannot be used.
    """
    with _in_broker(broker) if broker is not None else _in_file(cache_dir) as shelf:
        yield shelf


@contextmanager
def _in_broker(broker: str) -> Iterator[Shelf | None]:
    from common.broker.answers import AnswersOfBroker
    from common.broker.connection import Connection
    from common.llms.answers.shelves import BrokerShelf

    with closing(Connection(broker)) as connection:
        answers = AnswersOfBroker(connection)
        if answers.total():
            yield BrokerShelf(connection.shown_url, answers)
        else:
            say(f"No answers are kept in {connection.shown_url}.")
            yield None


@contextmanager
def _in_file(cache_dir: Path | None) -> Iterator[Shelf | None]:
    import sqlite3

    from common.cache import cache_directory
    from common.errors import RunError
    from common.llms.answers.answers_file import answers_file
    from common.llms.answers.database import UnknownFormat, connect
    from common.llms.answers.shelves import FileShelf

    file = answers_file(cache_directory(cache_dir))
    if not file.exists():
        say(f"No answers are kept in {file.parent}.")
        yield None
        return
    try:
        with closing(connect(file, WAIT_SECONDS)) as connection:
            yield FileShelf(file, connection)
    except (sqlite3.Error, OSError, UnknownFormat) as error:
        raise RunError(f"the answers kept in {file} cannot be used: {error}; to do without them, delete it") from error
