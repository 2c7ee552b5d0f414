"""The guardian: the parent of the embedded broker and the local workers, which ends them however the coordinator ends.

This file is both ends of one pipe. `Guardian` is the coordinator's end. Run as a script, the file is the guardian
itself: a bare interpreter with the standard library only, which starts in some 50 ms. The pipe carries JSON lines:

    to the guardian                                                          from the guardian
    {"start": id, "argv": [...], "env": {...} | null, "cwd": path | null,    {"started": id, "pid": n}
     "stdout": path | null, "rank": n, "end_signal": n, "end_grace": s}      {"failed": id, "error": "..."}
    {"signal": id, "signum": n}                                              {"exited": id, "code": n}
    {"remove": path}: delete this folder at the very end

The end of the pipe is the order to end everything: rank by rank, lowest first, each child by its `end_signal` and,
`end_grace` seconds later, by SIGKILL. So nothing depends on a last message of the coordinator. Whenever a child ends,
what is left of its session is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

WORKERS, BROKER = 0, 1  # ranks
START_TIMEOUT = 30.0
LOOK_INTERVAL = 1.0
KILL_TIMEOUT = 5.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class Child(NamedTuple):
    """A process that the guardian started. `number` is never reused; the system may reuse `pid`."""

    number: int
    pid: int


class Guardian:
    """The coordinator's end: starts the guardian, asks it to start children, and learns when they end.

    Not thread-safe. Methods raise RunError if the guardian itself is gone; on Linux, its children are then gone too.
    """

    def __init__(self, process: subprocess.Popen[bytes], pipe: socket.socket) -> None:
        self._process = process
        self._pipe = pipe
        self._unread = b""
        self._number = 0
        self._started: dict[int, Child] = {}
        self._failed: dict[int, str] = {}
        self._exited: dict[Child, int] = {}

    @classmethod
    def spawn(cls) -> Guardian:
        """Starts the guardian process. It ends with this process."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # a reader of this process's output must not wait for the guardian to end
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def closed(self) -> bool:
        return self._pipe.fileno() == -1

    def start(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        rank: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: Path | None = None,
        end_signal: signal.Signals = signal.SIGKILL,
        end_grace: float = 0.0,
    ) -> Child:
        """Starts a child in a new session.

        Args:
            rank: children with a lower rank are ended first.
            env: the complete environment; that of the coordinator if None.
            stdout: file that its output and errors are appended to; discarded if None.
            end_signal, end_grace: how it is ended, and the seconds before SIGKILL.

        Raises:
            RunError: it cannot be started.
        """
        self._number = number = self._number + 1
        self._send(
            start=number,
            argv=[os.fspath(argument) for argument in argv],
            env=None if env is None else dict(env),
            cwd=None if cwd is None else str(cwd),
            stdout=None if stdout is None else str(stdout),
            rank=rank,
            end_signal=int(end_signal),
            end_grace=end_grace,
        )
        self._hear_until(lambda: number in self._started or number in self._failed, START_TIMEOUT)
        if number not in self._started:
            why = self._failed.get(number, f"the guardian did not answer within {START_TIMEOUT:.0f} s")
            raise _run_error(f"cannot start {os.fspath(argv[0])}: {why}")
        return self._started[number]

    def signal(self, child: Child, signum: signal.Signals) -> None:
        """Signals the child; does nothing if it has ended."""
        self._send(signal=child.number, signum=int(signum))

    def exited(self) -> dict[Child, int]:
        """Exit codes (-n: ended by signal n) of the children that have ended so far."""
        self._hear(0.0)
        return dict(self._exited)

    def wait(self, child: Child, timeout: float) -> int | None:
        """The child's exit code, or None if it is still running after `timeout` seconds."""
        self._hear_until(lambda: child in self._exited, timeout)
        return self._exited.get(child)

    def remove_at_end(self, folder: Path) -> None:
        """Makes the guardian delete `folder` after the last child has ended."""
        self._send(remove=str(folder))

    def close(self, timeout: float = 30.0) -> None:
        """Ends the children by rank, then the guardian; takes at most `timeout` seconds."""
        if self.closed:
            return
        with contextlib.suppress(OSError):
            self._pipe.shutdown(
                socket.SHUT_RDWR
            )  # close() alone would not suffice while a forked process holds this end
        self._pipe.close()
        assert self._process.stderr is not None
        with self._process.stderr:
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its children go with it: `_die_with_guardian`
                self._process.wait()

    def _send(self, **message: Any) -> None:
        try:
            self._pipe.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise self._lost() from None

    def _hear_until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._hear(0.0)
        while not done() and not self.closed and (left := deadline - time.monotonic()) > 0:
            self._hear(left)

    def _hear(self, timeout: float) -> None:
        while not self.closed and select.select([self._pipe], [], [], timeout)[0]:
            try:
                heard = self._pipe.recv(65536)
            except OSError:
                heard = b""
            if not heard:
                raise self._lost()
            *lines, self._unread = (self._unread + heard).split(b"\n")
            for line in lines:
                self._note(json.loads(line))
            timeout = 0.0

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"started": number, "pid": pid}:
                self._started[number] = Child(number, pid)
            case {"failed": number, "error": error}:
                self._failed[number] = error
            case {"exited": number, "code": code}:
                self._exited[self._started[number]] = code

    def _lost(self) -> Exception:
        said = ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
            if self._process.stderr is not None and not self._process.stderr.closed:
                said = self._process.stderr.read().decode(errors="replace").strip()
        return _run_error(
            f"the guardian of the local processes (pid {self.pid}) is gone, and so are "
            f"they{f' ({said[-500:]})' if said else ''}; rerun the command to resume"
        )


def _run_error(message: str) -> Exception:
    from common.errors import RunError  # here, because the script below runs without Penstock's packages on its path

    return RunError(message)


class _Kept:
    """A child, as the guardian sees it."""

    def __init__(self, process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
        self.process = process
        self.number: int = order["start"]
        self.rank: int = order["rank"]
        self.end_signal: int = order["end_signal"]
        self.end_grace: float = order["end_grace"]


class _Keeper:
    """The guardian itself: serves its pipe, then ends everything. One thread, which `_die_with_guardian` relies on."""

    def __init__(self, pipe: socket.socket, coordinator: int) -> None:
        self._pipe = pipe
        self._coordinator = coordinator
        self._unread = b""
        self._kept: dict[int, _Kept] = {}
        self._folders: list[str] = []
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self._woken, wakes = socket.socketpair()
        for end in (self._woken, wakes):
            end.setblocking(False)
        # Handlers, not SIG_IGN: children would inherit it, and the coordinator itself may have inherited it.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(signum, lambda *_: None)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._wakes = wakes
        if self._libc is not None:
            self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of a dead worker become children of this process

    def run(self) -> None:
        # The parent's pid as well as the pipe: a process that the coordinator forked may keep the pipe open.
        while os.getppid() == self._coordinator:
            if self._pipe in self._pause(LOOK_INTERVAL, self._pipe) and not self._serve():
                break
            self._reap()
        self._end_everything()

    def _pause(self, timeout: float, *pipes: socket.socket) -> list[socket.socket]:
        """Waits until a pipe is readable, a signal arrives or the time is up; returns the readable pipes."""
        ready: list[socket.socket]
        ready = select.select([self._woken, *pipes], [], [], timeout)[0]
        if self._woken in ready:
            self._woken.recv(4096)
        return ready

    def _serve(self) -> bool:
        """Reads and executes orders; returns False at the end of the pipe."""
        try:
            read = self._pipe.recv(1 << 20)
        except OSError:
            return False
        *lines, self._unread = (self._unread + read).split(b"\n")
        for line in lines:
            match json.loads(line):
                case {"start": _} as order:
                    self._start(order)
                case {"signal": number, "signum": signum}:
                    _signal(signum, *(pid for pid, kept in self._kept.items() if kept.number == number))
                case {"remove": folder}:
                    self._folders.append(folder)
        return bool(read)

    def _start(self, order: dict[str, Any]) -> None:
        end_signal, guardian = order["end_signal"], os.getpid()
        try:
            with open(order["stdout"] or os.devnull, "ab") as output:
                process = subprocess.Popen(
                    order["argv"],
                    env=order["env"],
                    cwd=order["cwd"],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=lambda: self._die_with_guardian(end_signal, guardian),
                )
        except (OSError, subprocess.SubprocessError) as error:
            self._tell(failed=order["start"], error=str(error))
            return
        self._kept[process.pid] = _Kept(process, order)
        self._tell(started=order["start"], pid=process.pid)

    def _die_with_guardian(self, end_signal: int, guardian: int) -> None:
        """Runs in the child before its exec. This is safe: the guardian has no other thread that could hold a lock."""
        if self._libc is not None:
            self._libc.prctl(PR_SET_PDEATHSIG, end_signal)
            if os.getppid() != guardian:  # it died before the line above took effect
                os._exit(1)

    def _tell(self, **event: Any) -> None:
        with contextlib.suppress(OSError):  # no one listens any more: the end of the pipe is read next
            self._pipe.sendall(json.dumps(event).encode() + b"\n")

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = reaped
                kept = self._kept.pop(pid, None)
                if kept is not None:
                    kept.process.returncode = code = os.waitstatus_to_exitcode(status)
                    _signal(signal.SIGKILL, *_session(pid))
                    self._tell(exited=kept.number, code=code)

    def _end_everything(self) -> None:
        for rank in sorted({WORKERS, *(kept.rank for kept in self._kept.values())}):
            self._end({pid: kept for pid, kept in self._kept.items() if kept.rank == rank})
            # After the workers (one might take its helper's end for a result), before the broker that strays talk to.
            self._wait_until(self._kill_strays, KILL_TIMEOUT)
        for folder in self._folders:
            import shutil  # here, because importing it costs as much as all the rest

            shutil.rmtree(folder, ignore_errors=True)

    def _end(self, ending: dict[int, _Kept]) -> None:
        def all_gone() -> bool:
            return not ending.keys() & self._kept.keys()

        for pid, kept in ending.items():
            _signal(kept.end_signal, pid)
        self._wait_until(all_gone, max((kept.end_grace for kept in ending.values()), default=0.0))
        _signal(signal.SIGKILL, *(ending.keys() & self._kept.keys()))
        self._wait_until(all_gone, KILL_TIMEOUT)

    def _wait_until(self, done: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._reap()
        while not done() and time.monotonic() < deadline:
            self._pause(0.02)
            self._reap()

    def _kill_strays(self) -> bool:
        """Kills descendants outside the kept sessions, such as daemons of steps; returns True when none is left."""
        processes = list(_processes())
        family = {os.getpid()}
        for _ in processes:
            more = {pid for pid, parent, _ in processes if parent in family} - family
            if not more:
                break
            family |= more
        strays = [pid for pid, _, session in processes if pid in family - {os.getpid()} and session not in self._kept]
        _signal(signal.SIGKILL, *strays)
        return not strays


def _signal(signum: int, *pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def _session(leader: int) -> Iterable[int]:
    """What still runs in the session started by `leader`; on systems other than Linux, its process group, negated."""
    if sys.platform != "linux":
        return [-leader]
    return [pid for pid, _, session in _processes() if session == leader]


def _processes() -> Iterable[tuple[int, int, int]]:
    """Pid, parent and session of every running process (Linux only; elsewhere empty)."""
    for entry in os.listdir("/proc") if sys.platform == "linux" else ():
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as stat:
                state, parent, _, session = stat.read().rpartition(b")")[2].split()[:4]
                if state != b"Z":
                    yield int(entry), int(parent), int(session)


if __name__ == "__main__":
    _Keeper(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).run()
