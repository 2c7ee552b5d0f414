"""What the workers of a step have found out about it, noted for the whole run."""

from __future__ import annotations

from common.broker.consumer import Consumer


class StepNotes:
    """Notes about the step of a worker, which it reads and writes."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._step = consumer.step

    def note_loaded(self) -> None:
        """From now on the step is known to be loadable: a worker that cannot load it is to blame, not the step."""
        self._consumer.write("note", [], f"loaded:{self._step}")

    def note_columns(self) -> None:
        """From now on a column that is missing is known to be a matter of the rows, not of the pipeline."""
        self._consumer.write("note", [], f"columns:{self._step}")

    def columns_noted(self) -> bool:
        """Has a worker of the step seen rows with all columns that the step requires?"""
        return bool(self._connection.command("HEXISTS", self._keys.progress, f"columns:{self._step}"))

    def describe(self, descriptor: bytes) -> bytes | None:
        """Says what the step is, if no worker has said so before.

        Returns:
            What the run takes it to be from now on: this, or what an earlier worker said. None where it does not ask.
        """
        keys = [self._keys.progress]
        held: bytes | None = self._connection.call("describe", keys, f"descriptor:{self._step}", descriptor)
        return held
