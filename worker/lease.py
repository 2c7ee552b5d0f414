"""Keeps a worker's lease alive from a process of its own, which no step can block.

The keeper renews the lease for as long as the worker is there and is not stopped. It is told what to renew on its
standard input, which stays open: when the worker ends, however it ends, the keeper sees it and drops the lease.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from common.broker.connection import Connection
from common.errors import BrokerError
from common.keys import Keys

logger = logging.getLogger("penstock.worker")


class Keeper:
    """The worker's end: starts the keeper, and another one when it is gone.

    Args:
        url: of the broker; it may hold a password, so it never appears in a command line.
        run_id, worker_id: whose lease it is.
        lease: seconds.
    """

    def __init__(self, url: str, run_id: str, worker_id: str, lease: float) -> None:
        self._told = {"url": url, "run_id": run_id, "worker_id": worker_id, "lease": lease, "pid": os.getpid()}
        self._process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        """Starts a keeper where none is running."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            logger.warning("the process that keeps this worker's lease is gone; starting another")
        # -P: a folder named `worker` where the user happens to be must not be taken for ours.
        command = [sys.executable, "-P", "-m", "worker.lease"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._told).encode() + b"\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Lets the keeper go; it drops the lease."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(timeout=10)


def keep(url: str, run_id: str, worker_id: str, lease: float, pid: int) -> None:
    """Renews until the worker is gone, and says so then; a worker that is stopped (SIGSTOP) must not look alive."""
    keys = Keys(run_id)
    key = keys.worker(worker_id)
    connection = Connection(url, timeout=max(1.0, lease / 3))
    renewal = lease / 3
    while True:
        started = time.monotonic()
        if os.getppid() != pid:
            break
        if not is_stopped(pid):
            try:
                # PEXPIRE first: a full broker refuses SET, and must not make its workers look dead.
                if not connection.command("PEXPIRE", key, round(lease * 1000)):
                    connection.command("SET", key, 1, "PX", round(lease * 1000))
            except BrokerError:
                renewal = min(1.0, lease / 3)
            else:
                renewal = lease / 3
        left = max(0.0, renewal - (time.monotonic() - started))
        if select.select([0], [], [], left)[0] and not os.read(0, 1):
            break
    try:
        # The set is for those who look soon; later on, a lease that is gone says the same.
        forget = max(60, round(10 * lease))
        connection.batch([("DEL", key), ("SADD", keys.dead, worker_id), ("EXPIRE", keys.dead, forget)])
    except BrokerError:
        return


def is_stopped(pid: int) -> bool:
    """Has the process been stopped by a signal or a debugger?"""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state = fields[0]
    except OSError:
        listed = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
        state = listed.stdout.strip()[:1]
    return state in ("T", "t")


def main() -> None:
    """The keeper: one line on standard input says what to keep."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        line += byte
    keep(**json.loads(line))


if __name__ == "__main__":
    main()
