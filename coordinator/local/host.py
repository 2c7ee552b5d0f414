"""The local host of a run: its embedded broker and its local workers, all children of one guardian."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from common.errors import RunError
from coordinator.local.embedded import EmbeddedBroker
from coordinator.local.guardian import WORKERS, Child, Guardian

KILL_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Exited:
    """A child that ended. `code` is its exit code, or -n if signal n ended it."""

    kind: Literal["broker", "workers"]
    pid: int
    code: int


class LocalHost:
    """Owns the guardian, so nothing started here outlives this process, whatever ends it. Not thread-safe.

    Methods raise RunError if the guardian itself was killed.

    Example:
        >>> with LocalHost.start() as host:
        ...     url = host.start_broker(run_directory.path)
        ...     host.start_workers(["--all-steps", "--broker", url], {}, run_directory.log)
    """

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian
        self._broker: EmbeddedBroker | None = None
        self._workers: list[Child] = []
        self._reported: set[Child] = set()

    @classmethod
    def start(cls) -> LocalHost:
        """Starts the guardian. It has no children yet."""
        return cls(Guardian.spawn())

    def start_broker(self, run_directory: Path) -> str:
        """Starts the embedded broker on the data of the run and returns its URL.

        Raises:
            BrokerError: there is no server, or it does not start.
        """
        self._broker = EmbeddedBroker(self._guardian, run_directory)
        return self._broker.start()

    def restart_broker(self) -> str:
        """Restarts a broker that died, on its AOF and with the same URL; see `EmbeddedBroker.restart`."""
        assert self._broker is not None, "the broker was not started"
        return self._broker.restart()

    def start_workers(self, arguments: Sequence[str], env: Mapping[str, str], log_path: Path) -> int:
        """Starts `pipeline-worker ARGUMENTS` in a new session and returns its pid.

        Args:
            env: added to this process's environment.
            log_path: its output is appended there.

        Raises:
            RunError: it cannot be started.
        """
        environment = {**os.environ, **env}
        source = Path(__file__).resolve().parents[2]
        if not source.name.endswith("-packages"):  # a checkout that may not be installed
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(source), environment.get("PYTHONPATH"))))
        child = self._guardian.start(
            # -P: a user's folder named `worker` or `common` must not be taken for Penstock's.
            [sys.executable, "-P", "-m", "worker.cli", *arguments],
            rank=WORKERS,
            env=environment,
            stdout=log_path,
        )
        self._workers.append(child)
        return child.pid

    def poll(self) -> list[Exited]:
        """The children that have ended since the last call, including those told to end. Returns at once."""
        exited = self._guardian.exited()
        new = [child for child in exited if child not in self._reported]
        self._reported.update(new)
        return [Exited("workers" if child in self._workers else "broker", child.pid, exited[child]) for child in new]

    def check_workers(self) -> None:
        """Raises RunError if the workers have ended, which they must not during a run."""
        for exited in self.poll():
            if exited.kind == "workers":
                raise RunError(f"the local workers have ended (exit code {exited.code}); see pipeline.log")

    def stop_workers(self, timeout: float) -> None:
        """Sends SIGTERM to the supervisors of the workers, and after `timeout` seconds SIGKILL to their sessions."""
        left = self._running_workers()
        for child in left:
            self._guardian.signal(child, signal.SIGTERM)
        self._wait(left, timeout)
        left = self._running_workers()
        for child in left:
            self._guardian.signal(child, signal.SIGKILL)
        self._wait(left, KILL_TIMEOUT)

    def close(self) -> None:
        """Ends the workers at once, then the broker, then the guardian, within half a minute at most."""
        self._guardian.close()

    def __enter__(self) -> LocalHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running_workers(self) -> list[Child]:
        exited = self._guardian.exited()
        return [child for child in self._workers if child not in exited]

    def _wait(self, children: Sequence[Child], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for child in children:
            self._guardian.wait(child, max(deadline - time.monotonic(), 0.0))
