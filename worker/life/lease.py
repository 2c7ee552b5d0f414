"""Keeps a worker's lease, and those of its devices, alive from a separate process, which no step can block.

It also reads the output on the worker's descriptors 1 and 2 (`worker/host/listener.py`).

The keeper renews the lease while the worker lives and is not stopped. It is told what to renew on its
standard input, which stays open: when the worker ends, however it ends, the keeper sees it and drops the lease.

Devices are kept until the process of the worker is gone, whether it is stopped or not: its memory is still on them.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.broker.connection import Connection
from common.broker.consumer import Consumer
from common.broker.devices import DeviceLeases
from common.broker.reports import LogLines
from common.errors import NotPermitted, RunError
from common.process.forks import keep_private
from common.protocol.keys import Keys
from worker.host.listener import Listener
from worker.host.log import LogShipper, collect_records
from worker.host.standard_streams import StandardStreams
from worker.life.forked import DEAF_TO, ForkedProcess, name_process

PROCESS_NAME = "penstock-keeper"
"""What `ps -o comm` calls a keeper."""
FLUSH_SECONDS = 5.0
"""Seconds within which the last output of a leaving worker is shipped."""
STOP_SECONDS = 10
"""Seconds within which a keeper drops the lease of a leaving worker."""
GONE = b"gone"
"""A keeper's message that it has dropped the lease."""
END_SECONDS = 0.02
"""Seconds between two checks that a worker that has left is gone."""

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a keeper listens to.

    Args:
        echo: show it on the worker's terminal as well.
    """

    step: str
    streams: StandardStreams
    echo: bool


class Keeper:
    """The worker's end: starts the keeper, and restarts it if it dies.

    Args:
        url: of the broker; it may contain a password, so it never appears in a command line.
        run_id, worker_id: whose lease it is.
        lease: seconds.
        heard: the worker's standard streams; None to leave them as they are.
    """

    def __init__(self, url: str, run_id: str, worker_id: str, lease: float, heard: Heard | None = None) -> None:
        self._told = {"url": url, "run_id": run_id, "worker_id": worker_id, "lease": lease, "pid": os.getpid()}
        self._heard = heard
        self._devices: dict[str, object] = {"devices": [], "holder": ""}
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._flushes = 0
        self._heard_so_far = b""
        self._guard = threading.Lock()

    def ensure(self) -> None:
        """Starts a keeper if none is running. The first time, no other thread of this process may be running."""
        with self._guard:
            is_first = self._process is None
            if self._process is not None:
                if self._process.poll() is None:
                    return
                logger.warning("the process that keeps this worker's lease has died; starting another")
            self._heard_so_far = b""
            with own_process() as pidfd, self._ends() as (pipes, terminal):
                keeps = pipes if pidfd is None else [*pipes, pidfd]
                process: subprocess.Popen[bytes] | ForkedProcess
                process = self._fork(keeps, terminal) if is_first else self._start(keeps, terminal)
                self._process = process
                heard = {"step": self._heard.step, "echo": self._heard.echo, "pipes": pipes} if self._heard else None
            assert process.stdin is not None
            assert process.stdout is not None
            keep_private(process.stdin, process.stdout)
            self._say({**self._told, "pidfd": pidfd, "heard": heard})
            self._say(self._devices)

    @contextmanager
    def _ends(self) -> Iterator[tuple[list[int], int | None]]:
        """The pipes and the terminal, as copies that survive a fork."""
        if self._heard is None:
            yield [], None
            return
        pipes = [os.dup(pipe.fileno()) for pipe in self._heard.streams.pipes]
        terminal = os.dup(self._heard.streams.terminal.fileno())
        try:
            yield pipes, terminal
        finally:
            for copy in (*pipes, terminal):
                os.close(copy)

    def _fork(self, keeps: list[int], terminal: int | None) -> ForkedProcess:
        """Fast, and needs hardly any memory: everything that a keeper needs is already imported here."""
        return ForkedProcess.fork(be_keeper, terminal, keeps)

    def _start(self, keeps: list[int], terminal: int | None) -> subprocess.Popen[bytes]:
        """A new interpreter, since a step may have started threads, which make a fork unsafe."""
        # -P: a folder named `worker` in the current directory must not be imported instead of Penstock's.
        command = [sys.executable, "-P", "-m", "worker.life.lease"]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=terminal,
            start_new_session=True,
            pass_fds=keeps,
        )

    def keep_devices(self, keys: Sequence[str], holder: str) -> None:
        """From now on the keeper renews the leases of these devices as well."""
        with self._guard:
            self._devices = {"devices": list(keys), "holder": holder}
            with suppress(BrokenPipeError):  # it has died; the next one is told
                self._say(self._devices)

    def flush(self) -> None:
        """Has the output on the descriptors shipped, unless the broker does not answer."""
        if self._process is None:
            return
        self.ensure()
        with self._guard, suppress(BrokenPipeError):
            self._flushes += 1
            self._say({"flush": self._flushes})
            self._hears(answer_to(self._flushes), FLUSH_SECONDS)

    def stop(self) -> None:
        """Dismisses the keeper; it drops the lease, and those of devices once this process has ended."""
        with self._guard:
            if self._process is None or self._process.stdin is None:
                return
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            # It may stay for processes that a step leaves behind, but keeps no lease any more.
            if not self._devices["devices"] and not self._hears(GONE, STOP_SECONDS):
                self._process.kill()  # the broker does not answer; the lease will expire
                self._process.wait()

    def _hears(self, answer: bytes, timeout: float) -> bool:
        """Whether the keeper gives this answer, or ends, in time. Late answers to other requests do not count."""
        assert self._process is not None
        assert self._process.stdout is not None
        end = time.monotonic() + timeout
        while answer not in self._heard_so_far.split(b"\n")[:-1]:
            if not select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                return False
            said = os.read(self._process.stdout.fileno(), 64)
            if not said:
                return True
            self._heard_so_far += said
        self._heard_so_far = b""
        return True

    def _say(self, message: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


@contextmanager
def own_process() -> Iterator[int | None]:
    """A descriptor of this process, by which another process sees its complete end; None if the system has none."""
    try:
        pidfd = os.pidfd_open(os.getpid())
    except (AttributeError, OSError):  # macOS; Linux before 5.3
        yield None
        return
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def keep(
    url: str, run_id: str, worker_id: str, lease: float, pid: int, pidfd: int | None, heard: dict[str, Any] | None
) -> None:
    """Renews until the worker is gone, then certifies that; a stopped worker (SIGSTOP) must not look alive."""
    listener = listen(url, run_id, worker_id, lease, **heard) if heard else None
    keys = Keys(run_id)
    key = keys.worker(worker_id)
    connection = Connection(url, timeout=max(1.0, lease / 3))
    devices: list[str] = []
    leases = DeviceLeases(connection, "", lease)
    renewal = lease / 3
    refused = ""
    while os.getppid() == pid:
        started = time.monotonic()
        try:
            # PEXPIRE first: a full broker refuses SET, and must not make its workers look dead.
            if not is_stopped(pid) and not connection.command("PEXPIRE", key, round(lease * 1000)):
                connection.command("SET", key, 1, "PX", round(lease * 1000))
            if devices:
                leases.renew(devices)
        except RunError as error:
            renewal = min(1.0, lease / 3)
            if isinstance(error, NotPermitted) and str(error) != refused:  # only the keeper sees this error
                refused = str(error)
                print(f"the lease of worker {worker_id} cannot be renewed: {refused}", file=sys.stderr, flush=True)
        else:
            renewal = lease / 3
        if is_told(max(0.0, renewal - (time.monotonic() - started))):
            line = read_line()
            if not line:
                break
            if b'"flush"' in line:
                if listener is not None:
                    listener.drain()
                say(answer_to(json.loads(line)["flush"]))
            else:
                devices, leases = devices_told(line, connection, lease)
    while is_told() and (line := read_line()):  # a worker may take devices and die before its keeper starts
        if b'"flush"' not in line:
            devices, leases = devices_told(line, connection, lease)
    if listener is not None:
        listener.drain()
    with suppress(RunError):
        # The set informs those who look soon; later, the missing lease says the same.
        forget = max(60, round(10 * lease))
        connection.batch([("DEL", key), ("SADD", keys.dead, worker_id), ("EXPIRE", keys.dead, forget)])
    if devices:
        give_back(leases, devices, pid, pidfd, lease)
    say(GONE)
    os.close(1)
    if listener is not None:
        listener.outlast_children()


def listen(url: str, run_id: str, worker_id: str, lease: float, step: str, echo: bool, pipes: list[int]) -> Listener:
    """Starts reading the pipes; their content becomes log records of the worker."""
    shipper = LogShipper(step, worker_id)
    collect_records(shipper, echo=sys.stderr if echo else None)
    # A separate connection, so that waiting never delays the lease.
    log = LogLines(Consumer(Connection(url, timeout=max(1.0, lease / 3)), run_id, step, worker_id))
    listener = Listener(pipes, logging.getLogger(f"penstock.step.{step}"), shipper, log)
    listener.start()
    return listener


def answer_to(flush: int) -> bytes:
    """The keeper's message that it has shipped everything written before this flush."""
    return b"shipped %d" % flush


def say(answer: bytes) -> None:
    """Sends to the worker, if it still exists."""
    with suppress(BrokenPipeError):
        os.write(1, answer + b"\n")


def give_back(leases: DeviceLeases, devices: Sequence[str], pid: int, pidfd: int | None, lease: float) -> None:
    """Releases devices once the worker's process is gone: until then its memory is on them."""
    renewed = time.monotonic()
    while not has_ended(pid, pidfd, END_SECONDS):
        if time.monotonic() - renewed > lease / 3:
            renewed = time.monotonic()
            with suppress(RunError):
                leases.renew(devices)
    with suppress(RunError):
        leases.release(devices)


def has_ended(pid: int, pidfd: int | None, timeout: float) -> bool:
    """Whether the worker's process ends within the given seconds, with all its threads.

    Children of a killed process get another parent while some of its threads may still hold its files.
    """
    if pidfd is None:
        time.sleep(timeout)
        return os.getppid() != pid
    end = select.poll()
    end.register(pidfd, select.POLLIN)
    return bool(end.poll(round(timeout * 1000)))


def devices_told(line: bytes, connection: Connection, lease: float) -> tuple[list[str], DeviceLeases]:
    """The devices that the worker has, as `Keeper.keep_devices` writes them."""
    told = json.loads(line)
    return told["devices"], DeviceLeases(connection, told["holder"], lease)


def is_told(timeout: float = 0.0) -> bool:
    """Whether standard input has a line, or ends, within the given seconds."""
    return bool(select.select([0], [], [], timeout)[0])


def read_line() -> bytes:
    """The next line of standard input, byte by byte, so that `select` sees the following line; empty at the end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def is_stopped(pid: int) -> bool:
    """Whether the process was stopped by a signal or a debugger."""
    return process_state(pid) in ("T", "t")


def process_state(pid: int) -> str:
    """The state letter that `ps` shows; empty if there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""
    listed = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()[:1]


def be_keeper() -> None:
    """One line on standard input names what to keep."""
    name_process(PROCESS_NAME)
    if line := read_line():
        keep(**json.loads(line))


def main() -> None:
    """The keeper as a separate program."""
    for ignored in DEAF_TO:
        signal.signal(ignored, signal.SIG_IGN)
    be_keeper()


if __name__ == "__main__":
    main()
