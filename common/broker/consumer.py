"""A worker's identity at the broker: a consumer, in Redis terms, of its step's stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.broker.connection import Argument, Connection
from common.broker.runs import RunRegistry
from common.errors import RunGone
from common.protocol.keys import Keys


@dataclass(frozen=True, slots=True)
class Consumer:
    """One worker of one step of a run: its operations on the broker carry this identity.

    Args:
        worker_id: random per process.
        begun: when its run was begun.
    """

    connection: Connection
    run_id: str
    step: str
    worker_id: str
    begun: str = ""

    @property
    def keys(self) -> Keys:
        """Of the run."""
        return Keys(self.run_id)

    @property
    def stream(self) -> str:
        """The stream of the step's batches."""
        return self.keys.inputs(self.step)

    def write(self, script: str, keys: Sequence[str], *args: Argument) -> int:
        """Calls a script that writes nothing if the run is gone, since nobody would ever remove it.

        Raises:
            RunGone: there is no such run.
        """
        if not (reply := self.connection.call(script, [self.keys.progress, *keys], *args)):
            raise RunGone(self.connection.shown_url)
        return int(reply)

    def is_of_this_run(self) -> bool:
        """Whether the run is still the one that the worker joined. `--fresh` starts another with the same id."""
        return RunRegistry(self.connection).begun(self.run_id) == self.begun

    def dead_workers(self) -> set[str]:
        """Workers that their keeper saw end."""
        return {worker.decode(errors="replace") for worker in self.connection.command("SMEMBERS", self.keys.dead)}
