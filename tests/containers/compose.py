"""Brings `docker-compose.yml` up for real, in a separate folder and under its own name, and takes it down again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.broker.connection import Connection
from common.broker.runs import RunRegistry, WorkerRecord
from common.errors import BrokerError
from common.protocol.keys import Keys
from tests.support.runs.harness import REPOSITORY, Harness, wait_for

IMAGE = "penstock:test"
PASSWORD = "rock-salt"
SERVICES = (
    *("redis", "coordinator", "worker-load", "worker-clean", "worker-unique"),
    *("worker-generate", "worker-judge", "worker-good", "worker-keep"),
)
SETTINGS = {
    "WORKER_LEASE": "2",
    "COORDINATOR_LEASE": "2",
    "DISPATCH_SLACK": "4",
    "STEP_BACKLOG": "4",
    "FLUSH_INTERVAL": "1",
    "GRACE": "10",
}
SLOW_STEPS = """

import time


class SlowNormalize(Normalize):
    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(0.1)
        yield from super().process(inputs)


class SlowDropDuplicates(DropDuplicates):
    def process(self, inputs: StepInput) -> StepOutput:
        time.sleep(2)
        yield from super().process(inputs)
"""


def docker(*words: str, check: bool = True, timeout: float = 120) -> str:
    """Both streams of a `docker` command."""
    ended = subprocess.run(
        ["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False
    )
    assert ended.returncode == 0 or not check, f"docker {' '.join(words)}:\n{ended.stdout}"
    return ended.stdout


@dataclass(frozen=True, slots=True)
class Compose:
    """A project: a folder with the file, the examples, `.env` and, after a run, `output`.

    Args:
        port: where its Redis is on this host.
    """

    folder: Path
    port: int
    options: str = ""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def command(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Starts a `docker compose` command, with the image of the tests instead of one built now."""
        return subprocess.Popen(
            ["docker", "compose", "--ansi", "never", "--project-name", self.name, *words],
            cwd=self.folder,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
                "PENSTOCK_IMAGE": IMAGE,
                "PENSTOCK_PULL": "never",
                "PENSTOCK_REDIS_PORT": str(self.port),
                "PENSTOCK_REDIS_PASSWORD": PASSWORD,
                "RUN_OPTIONS": self.options,
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, timeout: float = 120, **variables: str) -> tuple[int, str]:
        """A `docker compose` command to its end: exit code and output."""
        command = self.command(*words, **variables)
        try:
            said, _ = command.communicate(timeout=timeout)
        finally:
            command.kill()
        return command.returncode, said

    def do(self, *words: str, **variables: str) -> str:
        """Runs a command that must succeed."""
        code, said = self.run(*words, **variables)
        assert code == 0, f"docker compose {' '.join(words)}:\n{said}"
        return said

    def containers(self, service: str) -> Sequence[str]:
        """Ids of its containers, those that have ended too."""
        return self.do("ps", "--all", "--quiet", service).split()

    def inspect(self, service: str, form: str) -> str:
        """A fact of its one container."""
        (container,) = self.containers(service)
        return docker("inspect", "--format", form, container).strip()

    def kill(self, service: str) -> None:
        """kill -9 of its container: of every process in it."""
        self.do("kill", "--signal", "KILL", service)

    def wait(self, service: str = "coordinator", timeout: float = 120) -> int:
        """Its exit code, once it has ended."""
        (container,) = self.containers(service)
        return int(docker("wait", container, timeout=timeout))

    def logs(self, *services: str) -> str:
        return self.run("logs", *services)[1]

    # the run

    def run_id(self) -> str:
        """Of the one run at the broker; empty if there is none, or the broker does not answer."""
        try:
            return next(iter(RunRegistry(Connection(self.url, timeout=5)).run_ids()), "")
        except BrokerError:
            return ""

    def workers(self, step: str) -> Sequence[WorkerRecord]:
        """Live workers of a step that have loaded it."""
        try:
            records = RunRegistry(Connection(self.url, timeout=5)).workers(self.run_id())
        except BrokerError:
            return []
        return [record for record in records if record.step == step and record.alive and record.loaded]

    def results(self) -> int:
        """Entries of the journal."""
        try:
            return int(Connection(self.url, timeout=5).command("XLEN", Keys(self.run_id()).journal))
        except BrokerError:
            return 0

    def wait_for_step(self, step: str, results: int = 3) -> None:
        """Returns when a worker of the step has been loaded, and the journal has grown by the given entries since."""
        wait_for(lambda: self.workers(step), 60, f"a worker of step '{step}'; {self.logs()[-3000:]}")
        self.wait_for_results(results)

    def wait_for_results(self, count: int) -> None:
        """Returns when the journal has grown by the given entries."""
        before = self.results()
        wait_for(lambda: self.results() >= before + count, 60, f"{count} results more; {self.logs()[-3000:]}")

    def digest(self) -> str:
        """Identifies the rows of the dataset in ./output, and their order."""
        return Harness(self.folder).digest("keep", self.folder / "output" / "quickstart")


def write_project(folder: Path, *, slow: bool) -> None:
    """What a clone has that Compose uses. A slow pipeline has the names of the quickstart's steps, and short leases."""
    shutil.copytree(REPOSITORY / "examples", folder / "examples")
    shutil.copy(REPOSITORY / "docker-compose.yml", folder)
    if not slow:
        return
    spec = folder / "examples" / "quickstart.yaml"
    text = spec.read_text().replace("mysteps:", "mysteps:Slow").replace("batch_size: 50", "batch_size: 10")
    text = text.replace("after: load", "after: load\n    input_batch_size: 10")
    text = text.replace("llm: {type: EchoLLM}", "llm: {type: EchoLLM, latency: 0.5}\n    input_batch_size: 10")
    spec.write_text(text)
    with (folder / "examples" / "mysteps.py").open("a") as file:
        file.write(SLOW_STEPS)
    (folder / ".env").write_text("".join(f"PENSTOCK_{name}={value}\n" for name, value in SETTINGS.items()))


def projects(folder: Path, options: str = "", *, slow: bool) -> Iterator[Compose]:
    """For a fixture: a project that leaves nothing behind but its image."""
    write_project(folder, slow=slow)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        compose = Compose(folder, free.getsockname()[1], options)
    try:
        yield compose
    finally:
        compose.run("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "3")
