"""Commands as forks of a process that has imported what they import, which is most of what a start takes.

Such a command is an ordinary process: with its own session, environment, folder and output, and with the end
of any Python program. What it shares with its siblings is the seed of string hashes, and what `/proc/<pid>/cmdline` and
`environ` say. Tests of these, of starting or of memory start new interpreters (`Harness.fresh`).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.places import REPOSITORY

PACKAGES = ("common", "coordinator", "penstock", "worker")
IMPORTED_LATER = ("pyarrow.parquet", "pandas")
"""What a coordinator imports when the first rows come."""
START_SECONDS = 100.0


class Forked:
    """A command under way, as a `Popen` shows it."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._said = b""
        self.returncode: int | None = None
        self.pid = self._next(START_SECONDS)

    def poll(self) -> int | None:
        """Its exit code (-n: ended by signal n); None while it runs."""
        if self.returncode is None and select.select([self._channel], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code.

        Raises:
            TimeoutExpired: it still runs after the given seconds.
        """
        if self.returncode is None:
            if not select.select([self._channel], [], [], timeout)[0]:
                assert timeout is not None
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Does nothing to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = self._next(START_SECONDS)
        self._channel.close()

    def _next(self, timeout: float) -> int:
        self._channel.settimeout(timeout)
        while b"\n" not in self._said:
            said = self._channel.recv(64)
            assert said, "the process that forks the commands of the tests is gone"
            self._said += said
        line, _, self._said = self._said.partition(b"\n")
        return int(line)


class Parent:
    """The process that forks, and how it is asked. It ends with this one."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.support.runs.prefork", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # By the PENSTOCK_CACHE_DIR of the test at hand it would be taken for one of its processes, and killed.
                env={name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
                | {"PYTHONPATH": str(REPOSITORY)},
                start_new_session=True,
            )

    def start(self, module: str, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, output: Path) -> Forked:
        """`python -P -m module`, whose function `main` is called."""
        ours, theirs = socket.socketpair()
        order = {
            "module": module,
            "arguments": list(arguments),
            "env": dict(env),
            "cwd": str(cwd),
            "output": str(output),
        }
        with theirs:
            socket.send_fds(self._control, [json.dumps(order).encode()], [theirs.fileno()])
        return Forked(ours)


_MAKING = threading.Lock()


def parent() -> Parent:
    """One for this process; two threads must not make one each, since that of the slower one would end at once."""
    with _MAKING:
        return _parent()


@functools.cache
def _parent() -> Parent:
    return Parent()


def serve(control: socket.socket) -> dict[str, object] | None:
    """Forks until the asker is gone; returns the request in each child, and None at the end."""
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    channels: dict[int, socket.socket] = {}
    while True:
        ready = select.select([control, woken], [], [])[0]
        if woken in ready:
            woken.recv(4096)
            for pid, code in ended():
                with channels.pop(pid) as channel:
                    say(channel, code)
        if control in ready:
            order, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 1)
            if not order:
                return None
            channel = socket.socket(fileno=descriptors[0])
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for one in (control, woken, wakes, channel, *channels.values()):
                    one.close()
                return json.loads(order)
            channels[pid] = channel
            say(channel, pid)


def say(channel: socket.socket, number: int) -> None:
    """Answers the process that asked for the command, if it still listens."""
    with contextlib.suppress(OSError):
        channel.sendall(b"%d\n" % number)


def ended() -> Iterator[tuple[int, int]]:
    """Children that have ended, and their exit codes."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def become(module: str, arguments: list[str], env: dict[str, str], cwd: str, output: str) -> None:
    """All that a start gives to a process."""
    os.setsid()
    os.chdir(cwd)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    tempfile.tempdir = None
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    main = types.ModuleType("__main__")
    main.__file__, main.__spec__ = found.origin, found
    sys.modules["__main__"] = main
    sys.argv = [found.origin, *arguments]
    importlib.import_module(module).main()


def import_everything() -> None:
    """What the commands import sooner or later, but for what reads its settings when it is imported."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages([str(REPOSITORY / package)], f"{package}."):
            importlib.import_module(found.name)
    for name in IMPORTED_LATER:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a thread that a fork would not take along"
    gc.freeze()


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import_everything()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        wanted = serve(asked)
    if wanted is not None:
        become(**wanted)
