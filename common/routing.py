"""Routing batch functions: they choose which successors of a step get which of its batches.

    @routing_batch_function()
    def in_turn(steps: list[str], seq: int) -> list[str]:
        return [steps[seq % len(steps)]]

    load >> in_turn >> [one, two]

In a spec, a function is an import path with its options beside it: `{function: "mymodule:in_turn"}`.
"""

from __future__ import annotations

import hashlib
import inspect
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter
from types import FrameType
from typing import Any, Never

from common.code.import_names import import_name
from common.code.source import Sources
from common.errors import RunError, UsageError, describe
from common.naming.catalogue import built_in_name
from common.protocol.codec import Row
from common.words.faults import hint

Function = Callable[..., Iterable[str]]


@dataclass(frozen=True, slots=True, eq=False)
class RoutingBatchFunction:
    """A function that routes the batches of a step; `routing_batch_function` makes one.

    Args:
        function: called with the names of the successors, the rows if it reads them, the batch's number if it has a
            parameter `seq`, and its options.
        reads_rows: it runs in the worker that made the batch; otherwise in the coordinator, which has no rows.
        least_steps: fewest successors to choose from.
        options: by name; those of the factory where there is one.
        factory: the function that made `function`, and makes it again in another process.
        found_as: the import path in the spec.
    """

    function: Function
    description: str | None = None
    reads_rows: bool = False
    least_steps: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    factory: Callable[..., Any] | None = None
    found_as: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a function that cannot be called."""
        given = "(steps, rows)" if self.reads_rows else "(steps)"
        if not callable(self.function) or inspect.iscoroutinefunction(self.function):
            raise UsageError(f"{self.function!r} is not a routing function: write 'def route{given}', not async")
        positional = [one for one in _parameters(self.function) if one.kind in _POSITIONAL]
        if len(positional) < 1 + self.reads_rows and Parameter.VAR_POSITIONAL not in {one.kind for one in positional}:
            raise UsageError(f"the routing function '{self.name}' is called with {given}: write 'def route{given}'")

    @property
    def name(self) -> str:
        """For messages; a spec uses the import path."""
        return str(getattr(self.factory or self.function, "__qualname__", self.function))

    def __call__(self, steps: Sequence[str], rows: list[Row] | None = None, *, seq: int = 0) -> list[str]:
        """The names of the `steps` that get batch `seq`, whose rows are `rows`."""
        given = {} if self.factory else dict(self.options)
        if any(one.name == "seq" for one in _parameters(self.function)):
            given["seq"] = seq
        chosen = (
            self.function(list(steps), rows or [], **given) if self.reads_rows else self.function(list(steps), **given)
        )
        if isinstance(chosen, str) or not isinstance(chosen, Iterable):
            raise TypeError(f"it returned {chosen!r}, not a list of names")
        return list(chosen)

    def bind(self, **options: Any) -> RoutingBatchFunction:
        """The same function with some of its options set.

        Raises:
            UsageError: it has no such option.
        """
        if self.factory and options:
            raise UsageError(f"'{self.name}' already has its options: call it with others")
        for name in options:
            if name not in self._options:
                raise UsageError(f"'{self.name}' has no option '{name}'{hint(name, self._options, 'it has')}")
        return replace(self, options={**self.options, **options})

    def check(self, step: str, successors: Sequence[str]) -> None:
        """Can it route the batches of `step`?

        Raises:
            UsageError: there are too few successors, or an option has no value.
        """
        if len(successors) < self.least_steps:
            options = ", ".join(f"{name}: {value!r}" for name, value in self.options.items())
            raise UsageError(
                f"'{self.name}'{f' ({options})' if options else ''} needs {self.least_steps} steps to choose from; "
                f"only {len(successors)} come after '{step}'"
            )
        if self.factory:
            return
        for name, parameter in self._options.items():
            if name not in self.options and parameter.default is Parameter.empty:
                reads = (
                    " (to read the rows of a batch: @routing_batch_function(reads_rows=True))" if name == "rows" else ""
                )
                raise UsageError(f"'{self.name}' needs its option '{name}'{reads}")

    def digest(self, sources: Sources | None = None) -> str:
        """Identifies its code, see `common.code.source`: 16 hex digits; empty for a built-in function.

        Args:
            sources: code already read.
        """
        maker = inspect.unwrap(self.factory or self.function)
        return "" if _built_in(maker) else (sources or Sources()).of_function(maker)

    @property
    def import_name(self) -> str:
        """Its name in a spec: the built-in one, else `module:function`.

        Raises:
            UsageError: no other process can import it.
        """
        maker = self.factory or self.function
        if (name := _built_in(maker)) is not None:
            return name
        try:
            return import_name(maker)
        except UsageError as error:
            if self.found_as is not None:
                return self.found_as
            if "<locals>" not in self.name:
                raise
            made_by = self.name.partition(".<locals>")[0]
            says = f"annotate a function that makes routing functions: def {made_by}(...) -> RoutingBatchFunction"
            raise UsageError(f"{error}; {says}") from None

    @property
    def defaults(self) -> dict[str, Any]:
        """The options among the parameters of the function, or of its factory."""
        return {one.name: one.default for one in _parameters(self.factory or self.function)}

    @property
    def _options(self) -> dict[str, Parameter]:
        """The parameters of the function after `steps` and `rows`, except `seq`."""
        mine = _parameters(self.function)[1 + self.reads_rows :]
        return {one.name: one for one in mine if one.name != "seq" and one.kind in _BY_NAME}

    def __rshift__(self, steps: Any) -> Never:
        raise UsageError(f"the routing function '{self.name}' has no predecessor: write step >> {self.name} >> [a, b]")

    def __rrshift__(self, steps: Any) -> Never:
        raise UsageError(f"the routing function '{self.name}' routes one step: write step >> {self.name} >> [a, b]")


def routing_batch_function(
    description: str | None = None, *, reads_rows: bool = False, least_steps: int = 1
) -> Callable[[Function], RoutingBatchFunction]:
    """A decorator that makes a routing batch function.

    The function is called once for each output batch of the step that it routes, with the names of the step's
    successors, and returns the names of those that get the batch, at least one. A parameter `seq` receives the number
    of the batch, from 0. The same batch must always lead to the same choice, so that a resumed run produces the same
    rows; base a random choice on a seed and `seq`, as `sample_n_steps` does.

    All other parameters are options, set in the spec or by `bind`. A function made by another one, its factory,
    is known by the factory's name and arguments; annotate the factory to return a `RoutingBatchFunction`.

    Args:
        description: what it does, for `info`.
        reads_rows: it is called with (steps, rows) instead, in the worker that made the rows: copies of the batch's
            whole rows, as stored. A batch without whole rows is routed nowhere.
        least_steps: fewest successors to choose from.
    """
    if callable(description):
        raise UsageError("write @routing_batch_function(), with parentheses")

    def decorate(function: Function) -> RoutingBatchFunction:
        factory, options = _factory(function, sys._getframe(1))
        return RoutingBatchFunction(function, description, reads_rows, least_steps, options, factory)

    return decorate


def sample_n_steps(n: int, seed: int = 0) -> RoutingBatchFunction:
    """Chooses `n` of the successors at random: the same ones for the same batch in every run with the same seed.

    Raises:
        UsageError: `n` is not a number of steps, or `seed` not a whole number.
    """
    for name, value, least in (("n", n, 1), ("seed", seed, None)):
        if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
            expected = "a whole number" if least is None else "a number of steps, 1 or more"
            raise UsageError(f"sample_n_steps: '{name}' must be {expected}, not {value!r}")

    @routing_batch_function(f"Chooses {n} of the successors at random.", least_steps=n)
    def sample(steps: list[str], seq: int) -> list[str]:
        digest = hashlib.blake2b(f"{seed}:{seq}".encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest)).sample(steps, n)

    return sample


def choose_successors(
    step: str, function: RoutingBatchFunction, successors: Sequence[str], seq: int, rows: list[Row] | None = None
) -> tuple[str, ...]:
    """The successors that get output batch `seq` of `step`, in the order of `successors`.

    Raises:
        RunError: the function raises, chooses nothing, or chooses something that is not a successor.
    """
    what = f"the routing function of step '{step}'"
    try:
        chosen = tuple(function(successors, rows, seq=seq))
    except BaseException as error:  # signals raise nothing during a run
        raise RunError(f"{what} raised: {describe(error)}") from error
    unknown = [name for name in chosen if name not in successors]
    if unknown or not chosen:
        wrong = f"chose {unknown[0]!r}" if unknown else "chose nothing"
        raise RunError(f"{what} {wrong} for batch {seq}; it must choose from {list(successors)}")
    return tuple(name for name in successors if name in chosen)


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def is_factory(function: Callable[..., Any]) -> bool:
    """Whether it is annotated to return a routing function. Only then may it be called to get one."""
    returned = getattr(function, "__annotations__", {}).get("return")
    return returned is RoutingBatchFunction or str(returned).rpartition(".")[2].strip("'\"") == "RoutingBatchFunction"


def _built_in(maker: Callable[..., Any]) -> str | None:
    """The name of a built-in function in a spec."""
    return built_in_name(f"{getattr(maker, '__module__', '')}:{getattr(maker, '__qualname__', '')}")


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise UsageError(f"{function!r} is not a routing function: write 'def route(steps)'") from None


def _factory(function: Function, frame: FrameType) -> tuple[Callable[..., Any] | None, dict[str, Any]]:
    """The factory that `frame` runs, if it defines `function`, and its arguments."""
    code = frame.f_code
    if getattr(function, "__qualname__", "").rpartition(".<locals>.")[0] != code.co_qualname:
        return None, {}
    found: Any = frame.f_globals
    for part in code.co_qualname.split("."):
        found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
    if not callable(found) or not is_factory(found) or inspect.unwrap(found).__code__ is not code:
        return None, {}
    parameters = _parameters(found)
    if any(one.kind not in _BY_NAME for one in parameters):  # not something that a spec can pass by name
        return None, {}
    return found, {one.name: frame.f_locals[one.name] for one in parameters}
