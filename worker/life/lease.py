"""Keeps a worker's lease, and those of its devices, alive from a process of its own, which no step can block.

It also reads what is written to the worker's descriptors 1 and 2 (`worker/host/listener.py`).

The keeper renews the lease for as long as the worker is there and is not stopped. It is told what to renew on its
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
"""Within which what was written to the descriptors of a worker that leaves is shipped."""
STOP_SECONDS = 10
"""Within which a keeper drops the lease when its worker leaves."""
GONE = b"gone"
"""What a keeper says when it has dropped the lease."""
END_SECONDS = 0.02
"""Between two looks whether a worker that has left is gone."""

logger = logging.getLogger("penstock.worker")


@dataclass(frozen=True, slots=True)
class Heard:
    """What a keeper is to listen to.

    Args:
        echo: show it on the worker's terminal as well.
    """

    step: str
    streams: StandardStreams
    echo: bool


class Keeper:
    """The worker's end: starts the keeper, and another one when it is gone.

    Args:
        url: of the broker; it may hold a password, so it never appears in a command line.
        run_id, worker_id: whose lease it is.
        lease: seconds.
        heard: the worker's standard streams; None to leave those alone.
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
        """Starts a keeper where none is running. The first time, no other thread of this process may be at work."""
        with self._guard:
            is_first = self._process is None
            if self._process is not None:
                if self._process.poll() is None:
                    return
                logger.warning("the process that keeps this worker's lease is gone; starting another")
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
        """The pipes and the terminal, as copies that a fork does not take away from the child."""
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
        """Takes no time, and hardly any memory: what a keeper needs has been imported here."""
        return ForkedProcess.fork(be_keeper, terminal, keeps)

    def _start(self, keeps: list[int], terminal: int | None) -> subprocess.Popen[bytes]:
        """A fresh interpreter, since a step may have begun threads, which a fork may not outlive."""
        # -P: a folder named `worker` where the user happens to be must not be taken for ours.
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
            with suppress(BrokenPipeError):  # it is gone; the next one will be told
                self._say(self._devices)

    def flush(self) -> None:
        """Has what was written to the descriptors shipped, unless the broker does not answer."""
        if self._process is None:
            return
        self.ensure()
        with self._guard, suppress(BrokenPipeError):
            self._flushes += 1
            self._say({"flush": self._flushes})
            self._hears(answer_to(self._flushes), FLUSH_SECONDS)

    def stop(self) -> None:
        """Lets the keeper go; it drops the lease, and those of devices as soon as this process has ended."""
        with self._guard:
            if self._process is None or self._process.stdin is None:
                return
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            # It may stay for what a step leaves behind, but is done with what it keeps.
            if not self._devices["devices"] and not self._hears(GONE, STOP_SECONDS):
                self._process.kill()  # the broker does not answer; the lease runs out by itself
                self._process.wait()

    def _hears(self, answer: bytes, timeout: float) -> bool:
        """Does the keeper answer that, or end, within so many seconds? A late answer to something else is none."""
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
    """A descriptor of this process, by which another one knows when all of it has ended; None where there are none."""
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
    """Renews until the worker is gone, and says so then; a worker that is stopped (SIGSTOP) must not look alive."""
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
            if isinstance(error, NotPermitted) and str(error) != refused:  # nobody but the keeper hears of it
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
    while is_told() and (line := read_line()):  # a worker may take devices and die before its keeper has begun
        if b'"flush"' not in line:
            devices, leases = devices_told(line, connection, lease)
    if listener is not None:
        listener.drain()
    with suppress(RunError):
        # The set is for those who look soon; later on, a lease that is gone says the same.
        forget = max(60, round(10 * lease))
        connection.batch([("DEL", key), ("SADD", keys.dead, worker_id), ("EXPIRE", keys.dead, forget)])
    if devices:
        give_back(leases, devices, pid, pidfd, lease)
    say(GONE)
    os.close(1)
    if listener is not None:
        listener.outlast_children()


def listen(url: str, run_id: str, worker_id: str, lease: float, step: str, echo: bool, pipes: list[int]) -> Listener:
    """Begins to read the pipes; what is read becomes log records of the worker."""
    shipper = LogShipper(step, worker_id)
    collect_records(shipper, echo=sys.stderr if echo else None)
    # A connection of its own, so that nothing that it waits for holds up the lease.
    log = LogLines(Consumer(Connection(url, timeout=max(1.0, lease / 3)), run_id, step, worker_id))
    listener = Listener(pipes, logging.getLogger(f"penstock.step.{step}"), shipper, log)
    listener.start()
    return listener


def answer_to(flush: int) -> bytes:
    """What the keeper says when it has shipped all that was written before the flush of this number."""
    return b"shipped %d" % flush


def say(answer: bytes) -> None:
    """To the worker, if it is there."""
    with suppress(BrokenPipeError):
        os.write(1, answer + b"\n")


def give_back(leases: DeviceLeases, devices: Sequence[str], pid: int, pidfd: int | None, lease: float) -> None:
    """Gives devices back when the worker's process is gone: until then its memory is on them."""
    renewed = time.monotonic()
    while not has_ended(pid, pidfd, END_SECONDS):
        if time.monotonic() - renewed > lease / 3:
            renewed = time.monotonic()
            with suppress(RunError):
                leases.renew(devices)
    with suppress(RunError):
        leases.release(devices)


def has_ended(pid: int, pidfd: int | None, timeout: float) -> bool:
    """Does the process of the worker end within so many seconds, with all its threads?

    Children of a process that is killed get another parent while some of its threads may still hold its files.
    """
    if pidfd is None:
        time.sleep(timeout)
        return os.getppid() != pid
    end = select.poll()
    end.register(pidfd, select.POLLIN)
    return bool(end.poll(round(timeout * 1000)))


def devices_told(line: bytes, connection: Connection, lease: float) -> tuple[list[str], DeviceLeases]:
    """What the worker says that it has, as `Keeper.keep_devices` writes it."""
    told = json.loads(line)
    return told["devices"], DeviceLeases(connection, told["holder"], lease)


def is_told(timeout: float = 0.0) -> bool:
    """Is there a line of standard input, or its end, within so many seconds?"""
    return bool(select.select([0], [], [], timeout)[0])


def read_line() -> bytes:
    """The next line of standard input, byte by byte, so that `select` knows of the one after it; empty at the end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def is_stopped(pid: int) -> bool:
    """Has the process been stopped by a signal or a debugger?"""
    return process_state(pid) in ("T", "t")


def process_state(pid: int) -> str:
    """A letter as `ps` shows it; empty where there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""
    listed = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip()[:1]


def be_keeper() -> None:
    """One line on standard input says what to keep."""
    name_process(PROCESS_NAME)
    if line := read_line():
        keep(**json.loads(line))


def main() -> None:
    """The keeper as a program of its own."""
    for ignored in DEAF_TO:
        signal.signal(ignored, signal.SIG_IGN)
    be_keeper()


if __name__ == "__main__":
    main()
