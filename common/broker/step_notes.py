"""Workers' findings about their step, noted for the whole run."""

from __future__ import annotations

from common.broker.consumer import Consumer


class StepNotes:
    """Notes about a worker's step, which it reads and writes."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._connection = consumer.connection
        self._keys = consumer.keys
        self._step = consumer.step

    def note_loaded(self) -> None:
        """Notes that the step is loadable: if a worker cannot load it later, the worker is at fault, not the step."""
        self._consumer.write("note", [], f"loaded:{self._step}")

    def note_columns(self) -> None:
        """Notes that a missing column is the fault of rows, not of the pipeline."""
        self._consumer.write("note", [], f"columns:{self._step}")

    def columns_noted(self) -> bool:
        """Whether a worker of the step has seen rows with all required columns."""
        return bool(self._connection.command("HEXISTS", self._keys.progress, f"columns:{self._step}"))

    def describe(self, descriptor: bytes) -> bytes | None:
        """Describes the step, unless an earlier worker has.

        Returns:
            The valid description: this one, or an earlier worker's. None if the run does not ask.
        """
        keys = [self._keys.progress]
        held: bytes | None = self._connection.call("describe", keys, f"descriptor:{self._step}", descriptor)
        return held
