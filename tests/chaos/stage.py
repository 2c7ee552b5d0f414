"""Where a scenario is played: broker, coordinator and workers of one run, and what is to be undone later."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from common.protocol.keys import GROUP, Keys
from tests.chaos.scenario import Scenario
from tests.support.runs.harness import Command, Harness
from tests.support.runs.sight import Sight
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import RedisServer

STEPS = Path(__file__).with_name("chaos_steps.py")
SETTINGS = {"PART_ROWS": "60", "FLUSH_INTERVAL": "0.5", "PATIENCE": "60"}
LEASE = 1.0
"""Seconds, of workers and coordinator; the harness sets it."""
RETURN = 8.0
"""Seconds after which a worker that has left by itself is started again."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """How long it took until another worker had a dead one's batches.

    Args:
        kind: what was killed.
        leases: the time, in leases.
    """

    kind: str
    leases: float


@dataclass(slots=True)
class Stage:
    """Everything that a fault can reach.

    Attributes:
        server, proxy: of a broker beside the command; None for the embedded one.
        command: the coordinator.
        workers: those that were started by hand, with their steps.
        allowed: exit codes of the coordinator that faults explain, beside those of a complete run.
        hurt: processes that a fault ended; their exit codes say nothing.
        strangers: workers that must refuse to serve.
        takeovers: measured so far.
    """

    scenario: Scenario
    harness: Harness
    server: RedisServer | None
    proxy: Proxy | None
    spec: Path
    command: Command = field(init=False)
    workers: list[tuple[str, Command]] = field(default_factory=list)
    allowed: set[int] = field(default_factory=set)
    hurt: set[int] = field(default_factory=set)
    strangers: list[Command] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    sizes: list[tuple[float, int]] = field(default_factory=list)
    _left: dict[int, float] = field(default_factory=dict)
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _watched: list[tuple[float, str, str, str, set[str]]] = field(default_factory=list)
    _client: redis.Redis | None = None
    _run_id: str = ""

    @property
    def sight(self) -> Sight:
        return Sight(self.harness, self.server.url if self.server is not None else None)

    @property
    def keys(self) -> Keys:
        return Keys(self.sight.run_id)

    def client(self) -> Any:
        """The broker itself, past the proxy. Raises what redis-py raises, and FileNotFoundError before it is there."""
        path = str(self.server.socket if self.server is not None else self.sight.socket)
        if self._client is None or self._client.connection_pool.connection_kwargs["path"] != path:
            self._client = redis.Redis(unix_socket_path=path, socket_timeout=5)
        return self._client

    def written(self) -> int:
        """Entries of the journal; 0 while nobody can tell."""
        try:
            return int(self.client().xlen(self.keys.journal))
        except (redis.RedisError, OSError, ValueError, AssertionError):
            return 0

    # processes

    def run(self) -> None:
        """Starts the command, as a user does who wants the run to go on."""
        arguments: list[str] = []
        if self.proxy is not None:
            arguments += ["--broker", self.proxy.url]
        if self.scenario.topology == "external":
            arguments += ["--workers", "external"]
        else:
            arguments += [f"--set={step}.resources.replicas={count}" for step, count in self.scenario.replicas.items()]
        self.command = self.harness.start_run(self.spec, *arguments)

    def start_workers(self) -> None:
        """Those that are started by hand; one that a fault ended is started again, as a service manager does it.

        One that has left because its stage is over is needed again if the command is stopped, or the broker forgets.
        """
        if self.scenario.topology != "external":
            return
        now = time.monotonic()
        for step, count in self.scenario.replicas.items():
            alive = 0
            for entry in [one for one in self.workers if one[0] == step]:
                code = entry[1].process.poll()
                assert not code or self.explains(entry[1]), f"a worker ended with {code}: {entry[1].text}"
                if code is None or (code == 0 and now < self._left.setdefault(entry[1].process.pid, now) + RETURN):
                    alive += 1
                else:
                    self.workers.remove(entry)
            self.workers += [(step, self.start_worker(step)) for _ in range(count - alive)]

    def explains(self, worker: Command) -> bool:
        """Is it a fault that ended the worker: itself, or a broker that came back without the run?"""
        return worker.process.pid in self.hurt or "holds nothing of this run any more" in worker.text

    def start_worker(self, step: str, folder: Path | None = None) -> Command:
        """One worker; `folder` is where its steps are."""
        assert self.proxy is not None
        where = ("--allow", "chaos_steps", "--base-dir", str(folder or self.harness.folder))
        return self.harness.start("pipeline-worker", "--step", step, "--broker", self.proxy.url, *where, *self.which())

    def which(self) -> tuple[str, ...]:
        """The run that a worker is for, once it is known: one that comes after its end must not wait for another."""
        if not self._run_id and self.written():
            self._run_id = self.sight.run_id
        return ("--run", self._run_id) if self._run_id else ()

    def victims(self, step: str) -> list[psutil.Process]:
        """Workers of a step; those of any step where it has none."""
        steps = [step, *(one for one in self.scenario.pipeline.steps if one != step)]
        return next((found for one in steps if (found := self.sight.workers(one))), [])

    def hurt_process(self, process: psutil.Process, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to one process."""
        self.hurt.add(process.pid)
        process.send_signal(number)

    # time

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Does something when so many seconds have passed."""
        self._later.append((time.monotonic() + seconds, action))

    def do_what_is_due(self, everything: bool = False) -> None:
        """Called often; with `everything` nothing is left for later."""
        now = time.monotonic()
        due = [one for one in self._later if everything or one[0] <= now]
        self._later = [one for one in self._later if one not in due]
        for _, action in due:
            action()

    @property
    def quiet(self) -> bool:
        """Is nothing going on that is still to be undone?"""
        return not self._later

    # dead workers

    def watch(self, kind: str, process: psutil.Process, then: Callable[[], None]) -> None:
        """Measures how long it takes until others have what a process held, after `then` has ended it."""
        from common.broker.runs import RunRegistry

        sight = self.sight
        connection = sight.connect()
        with suppress(StopIteration):
            record = next(one for one in RunRegistry(connection).workers(sight.run_id) if one.pid == process.pid)
            stream = self.keys.inputs(record.step)
            held = {row.entry for row in connection.pending(stream, GROUP, 100, record.worker_id)}
            others = [one for one in sight.workers(record.step) if one.pid != process.pid]
            if held and others:
                self._watched.append((time.monotonic(), kind, stream, record.worker_id, held))
        connection.close()
        then()

    def look(self) -> None:
        """Called often: looks whether what a dead worker held has gone to others."""
        now = time.monotonic()
        for one in list(self._watched):
            began, kind, stream, worker, _ = one
            try:
                rows = self.client().xpending_range(stream, GROUP, "-", "+", 100, worker)
            except (redis.RedisError, OSError):
                self._watched.remove(one)  # the broker is away: this measures something else
                continue
            if not rows:
                self._watched.remove(one)
                self.takeovers.append(Takeover(kind, (now - began) / LEASE))
        if self.server is not None and (not self.sizes or now - self.sizes[-1][0] > 0.1):
            self.sizes.append((now, sum(file.stat().st_size for file in self.logs())))

    def logs(self) -> list[Path]:
        """The append-only file of the broker that lives beside the command, in its incremental part."""
        assert self.server is not None
        return sorted((self.server.folder / "appendonlydir").glob("*.incr.aof"))[-1:] or [
            file for file in (self.server.folder / "appendonly.aof",) if file.exists()
        ]


@contextmanager
def set_up(scenario: Scenario, folder: Path, *, run: bool = True) -> Iterator[Stage]:
    """A stage with broker, workers and, unless the caller does that, coordinator; nothing of them is left behind."""
    harness = Harness(folder, SETTINGS)
    (folder / STEPS.name).write_text(STEPS.read_text())
    spec = harness.write_spec(scenario.pipeline.spec)
    server = RedisServer() if scenario.topology != "embedded" else None
    proxy = None
    try:
        if server is not None:
            server.start()
            proxy = Proxy(server.url)
        stage = Stage(scenario, harness, server, proxy, spec)
        if run:
            stage.run()
        stage.start_workers()
        yield stage
    finally:
        harness.end()
        for command in harness.commands:
            with suppress(Exception):
                command.process.wait(5)
        if proxy is not None:
            proxy.close()
        if server is not None:
            server.close()


def other_protocol(stage: Stage, step: str) -> Command:
    """A worker of a version of Penstock that speaks another protocol."""
    assert stage.proxy is not None
    text = "import common.protocol.wire\ncommon.protocol.wire.PROTOCOL += 1\nfrom worker.cli import main\nmain()\n"
    return stage.harness.start_script(
        text, "--step", step, "--broker", stage.proxy.url, "--allow", "chaos_steps", *stage.which()
    )
