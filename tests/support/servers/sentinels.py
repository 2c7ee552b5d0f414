"""A master, its replica and the sentinels that look after them, on loopback ports; each is ended by its own pid."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from coordinator.local.server_binary import find_server

SERVICE = "mymaster"
SERVER = (
    *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"),
    *("--bind", "127.0.0.1", "--daemonize", "no", "--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"),
    *("--repl-timeout", "60"),
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Server:
    """One server or sentinel."""

    folder: Path
    arguments: tuple[str, ...]
    password: str | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers, whatever it says."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [find_server(), *self.arguments, "--port", str(self.port), "--dir", self.folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self.says("PING"), "an answer")

    def client(self) -> Any:
        return redis.Redis(port=self.port, password=self.password, socket_timeout=5)

    def ask(self, *words: str | int) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    def says(self, *words: str | int) -> Any:
        """The reply; None while there is none."""
        with contextlib.suppress(redis.exceptions.RedisError):
            return self.ask(*words)
        return None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None


class Sentinels:
    """A master and a replica; `sentinels` of them agree on a failover by a majority.

    Example:
        >>> with Sentinels() as setup:
        ...     connection = Connection(setup.url)
        ...     setup.master.kill()  # the replica is promoted within two seconds
    """

    def __init__(self, sentinels: int = 1, password: str = "", sentinel_password: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="penstock-sentinel-"))
        secret = ("--requirepass", password, "--masterauth", password) if password else ()
        self.servers = [
            Server(self.folder / name, (*SERVER, *secret), password or None) for name in ("first", "second")
        ]
        self._password, self._sentinel_password = password, sentinel_password
        self.sentinels = [self._sentinel(number, sentinels // 2 + 1) for number in range(sentinels)]

    def _sentinel(self, number: int, quorum: int) -> Server:
        folder = self.folder / f"sentinel-{number}"
        folder.mkdir()
        file = folder / "sentinel.conf"
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0].port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
            *([f"sentinel auth-pass {SERVICE} {self._password}"] if self._password else []),
            *(
                [f"requirepass {secret}", f"sentinel sentinel-pass {secret}"]
                if (secret := self._sentinel_password)
                else []
            ),
            "bind 127.0.0.1",
        ]
        file.write_text("\n".join(lines) + "\n")
        return Server(folder, (str(file), "--sentinel"), self._sentinel_password or None)

    @property
    def url(self) -> str:
        """As a user gives it."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        user = f":{self._password}@" if self._password else ""
        query = f"?sentinel_password={self._sentinel_password}" if self._sentinel_password else ""
        return f"redis+sentinel://{user}{hosts}/{SERVICE}/0{query}"

    @property
    def master(self) -> Server:
        """As the sentinels know it."""
        _, port = self.sentinels[0].ask("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self.servers if server.port == int(port))

    @property
    def replica(self) -> Server:
        """The other one."""
        master = self.master
        return next(server for server in self.servers if server is not master)

    def start(self) -> None:
        """Returns when a failover would find everything it needs."""
        first, second = self.servers
        first.start()
        second.start()
        second.ask("REPLICAOF", "127.0.0.1", first.port)
        self.wait_for_replica(first)
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            wait_until(lambda sentinel=sentinel: self._is_ready(sentinel), "a sentinel that knows all")

    def _is_ready(self, sentinel: Server) -> bool:
        answer = sentinel.says("SENTINEL MASTER", SERVICE) or {}
        return (
            answer.get("num-slaves") == 1
            and answer.get("num-other-sentinels") == len(self.sentinels) - 1
            and answer.get("flags") == "master"
        )

    def wait_for_replica(self, master: Server) -> None:
        """Until a replica has all that the master has."""
        wait_until(lambda: int(master.ask("WAIT", 1, 100)) == 1, "a replica in sync")

    def failover(self) -> None:
        """As an operator asks for it; returns when the replica is the master and the other one follows it."""
        before = self.master
        wait_until(lambda: self.sentinels[0].says("SENTINEL FAILOVER", SERVICE), "a sentinel that begins")
        self.wait_for_master_other_than(before)

    def wait_for_master_other_than(self, before: Server) -> None:
        """Until the sentinels name another master, and it is one."""
        wait_until(lambda: self.master is not before and role(self.master) == b"master", "the promotion")

    def wait_until_follows(self, server: Server) -> None:
        """Until a server is a replica that the sentinels would promote."""
        wait_until(lambda: role(server) == b"slave", "the demotion")
        self.wait_for_replica(self.master)
        wait_until(lambda: self._is_ready(self.sentinels[0]), "a sentinel that knows it")

    def close(self) -> None:
        """Ends everything, sentinels first."""
        for server in (*self.sentinels, *self.servers):
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Sentinels:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def role(server: Server) -> bytes:
    """`master` or `slave`; nothing while it does not answer."""
    answer = server.says("ROLE")
    return bytes(answer[0]) if answer else b""


def wait_until(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.02)
