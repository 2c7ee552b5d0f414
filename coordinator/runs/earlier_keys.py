"""The broker keys of the previous run of a run directory in which another run begins."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from common.broker.connection import Connection
from common.broker.runs import RunRegistry
from common.errors import Disconnected, UsageError
from common.words.shown_url import HIDDEN, redact
from coordinator.runs.lookup import FoundRun, connect
from coordinator.runs.removal import at_broker, delete_keys, is_anothers, refuse_alive
from coordinator.runs.run_directory import RunDirectory, RunRecord


@dataclass(frozen=True, slots=True)
class EarlierKeys:
    """What the previous run of a directory has left in a broker.

    Args:
        directory: this process holds its lock.
        before: the record of the previous run.
        run_id, broker: those of the new run, which cleans up its own keys under its own lease.
    """

    directory: RunDirectory
    before: RunRecord
    run_id: str
    broker: str | None

    def remove(self, tell: Callable[[str], None]) -> None:
        """Deletes the keys; from then on, the previous run is condemned.

        Args:
            tell: is told about keys that stay until they expire.

        Raises:
            Fenced: a coordinator of the previous run is alive.
            Disconnected, UsageError: its broker cannot be asked. The record that says where the keys are is kept.
        """
        if not self._are_elsewhere():
            return
        found = FoundRun(self.before.run, self.directory, self.before)
        try:
            with connect(self._url()) as connection:
                self._delete(found, connection)
        except (Disconnected, UsageError) as error:
            run = f"the previous run '{self.before.run}' of {self.directory.path}"
            if self.before.status == "complete":
                tell(f"keys of {run} may remain in the broker until they expire: {error}")
                return
            again = f"pipeline-coordinator rm {shlex.quote(str(self.directory.path))} --broker URL"
            raise type(error)(
                f"{error}; it may hold keys of {run}, so nothing was changed: rerun this command once it can be "
                f"reached, or remove that run with its URL: {again}; if the broker is gone for good, delete the "
                "directory"
            ) from None

    def _are_elsewhere(self) -> bool:
        before = self.before
        if before.broker is None or (before.run == self.run_id and self._is_the_same_broker()):
            return False
        return self.directory.original_of(before) is None

    def _is_the_same_broker(self) -> bool:
        return self.broker is not None and redact(self.broker) == self.before.broker

    def _url(self) -> str:
        if self.broker is not None and self._is_the_same_broker():
            return self.broker  # the URL with its password
        assert self.before.broker is not None
        if HIDDEN in self.before.broker:
            raise UsageError(f"the broker at {self.before.broker} requires a password, and passwords are not stored")
        return self.before.broker

    def _delete(self, found: FoundRun, connection: Connection) -> None:
        connection.facts()
        registry = RunRegistry(connection)
        if is_anothers(found, at_broker(found, registry)):
            return
        refuse_alive(found, registry)
        self.directory.condemn()
        delete_keys(found, registry)
