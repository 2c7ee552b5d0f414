"""Routing batch functions that the coordinator runs: from (step, seq, rows) to the successors that get the batch."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import random
from collections.abc import Callable, Sequence

from common.errors import RunError, SpecError
from coordinator.load import Prepared

Choose = Callable[[list[str]], list[str]]


class Routing:
    """The routing functions of a pipeline, by routing step."""

    def __init__(self, prepared: Prepared) -> None:
        self._functions: dict[str, Callable[[int, list[str]], list[str]]] = {}
        self._successors = {step: list(prepared.plan.successors(step)) for step in prepared.spec.routing}
        for step, routing in prepared.spec.routing.items():
            self._functions[step] = _function(step, routing.function, routing.params, self._successors[step])

    def __call__(self, step: str, seq: int, rows: int) -> tuple[str, ...]:
        """Chooses successors.

        Raises:
            RunError: the function raises, or chooses something that is no successor.
        """
        successors = self._successors[step]
        try:
            chosen = list(self._functions[step](seq, list(successors)))
        except Exception as error:
            raise RunError(f"the routing function of step '{step}' raised: {type(error).__name__}: {error}") from error
        unknown = [name for name in chosen if name not in successors]
        if unknown or not chosen:
            wrong = f"chose {unknown[0]!r}" if unknown else "chose nothing"
            raise RunError(
                f"the routing function of step '{step}' {wrong} for batch {seq}; it must choose from {successors}"
            )
        return tuple(name for name in successors if name in chosen)


def sample_n_steps(n: int, seed: int = 0) -> Callable[[int, list[str]], list[str]]:
    """Chooses `n` of the successors at random: the same ones for the same batch in every run of the same seed."""

    def choose(seq: int, steps: list[str]) -> list[str]:
        digest = hashlib.blake2b(f"{seed}:{seq}".encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest)).sample(steps, n)

    return choose


def _function(
    step: str, name: str, params: dict[str, object], successors: Sequence[str]
) -> Callable[[int, list[str]], list[str]]:
    if name == "sample_n_steps":
        n = params.get("n")
        if not isinstance(n, int) or not 1 <= n <= len(successors):
            raise SpecError(f"routing of step '{step}': sample_n_steps needs n, from 1 to {len(successors)}")
        seed = params.get("seed", 0)
        return sample_n_steps(n, seed if isinstance(seed, int) else 0)
    module, _, attribute = name.partition(":")
    try:
        function: Choose = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpecError(f"routing of step '{step}': {name} cannot be imported: {error}") from error
    if not callable(function) or not inspect.signature(function).parameters:
        raise SpecError(f"routing of step '{step}': {name} is not a function of the successors' names")
    return lambda _, steps: function(steps, **params)
