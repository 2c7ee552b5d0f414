"""Where a scenario is played: broker, coordinator and workers of one run, and what is to be undone later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.broker import Broker
from tests.chaos.endpoint import ChaosEndpoint
from tests.chaos.later import Later
from tests.chaos.scenario import ENDPOINT_URL, Scenario
from tests.chaos.takeovers import Takeovers
from tests.chaos.workers import Workers
from tests.support.runs.harness import Command, Harness
from tests.support.runs.sight import Sight
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import RedisServer

STEPS = Path(__file__).with_name("chaos_steps.py")
SETTINGS = {"PART_ROWS": "60", "FLUSH_INTERVAL": "0.5", "PATIENCE": "60"}


@dataclass(slots=True)
class Stage:
    """Everything that a fault can reach.

    Attributes:
        command: the coordinator.
        allowed: exit codes of the coordinator that faults explain, beside those of a complete run.
    """

    scenario: Scenario
    harness: Harness
    spec: Path
    broker: Broker
    endpoint: ChaosEndpoint
    command: Command = field(init=False)
    workers: Workers = field(init=False)
    takeovers: Takeovers = field(init=False)
    later: Later = field(default_factory=Later)
    allowed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.workers = Workers(self.scenario, self.harness, self.broker)
        self.takeovers = Takeovers(self.broker)

    @property
    def sight(self) -> Sight:
        return self.broker.sight

    def run(self) -> None:
        """Starts the command, as a user does who resumes the run."""
        arguments: list[str] = []
        if self.broker.proxy is not None:
            arguments += ["--broker", self.broker.url]
        if self.scenario.topology == "external":
            arguments += ["--workers", "external"]
        else:
            arguments += [f"--set={step}.resources.replicas={count}" for step, count in self.scenario.replicas.items()]
        self.command = self.harness.start_run(self.spec, *arguments)

    def look(self) -> None:
        """Called often: does what is due, and looks at what is measured."""
        self.later.do_what_is_due()
        self.takeovers.look()
        self.broker.look()


@contextmanager
def set_up(scenario: Scenario, folder: Path, *, run: bool = True) -> Iterator[Stage]:
    """A stage with broker, endpoint, workers and, unless the caller does that, coordinator; nothing is left behind."""
    harness = Harness(folder, SETTINGS)
    (folder / STEPS.name).write_text(STEPS.read_text())
    endpoint = ChaosEndpoint(folder.with_name(f"{folder.name}.endpoint"))
    spec = harness.write_spec(scenario.pipeline.spec.replace(ENDPOINT_URL, endpoint.url))
    server = RedisServer() if scenario.topology != "embedded" else None
    proxy = None
    try:
        endpoint.start()
        if server is not None:
            server.start()
            proxy = Proxy(server.url)
        sight = Sight(harness, server.url if server is not None else None)
        stage = Stage(scenario, harness, spec, Broker(sight, server, proxy), endpoint)
        if run:
            stage.run()
        stage.workers.start()
        yield stage
    finally:
        harness.end()
        for command in harness.commands:
            with suppress(Exception):
                command.process.wait(5)
        endpoint.kill()
        endpoint.log.unlink(missing_ok=True)
        if proxy is not None:
            proxy.close()
        if server is not None:
            server.close()
