"""A `pipeline-worker` in a run: a worker, a supervisor of workers, or either for one run after another."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial

from common.broker.connection import Connection
from common.errors import EXIT_COMPLETE, EXIT_STOPPED
from common.process.signals import on_stop_signals
from common.settings import Settings
from worker.life.assembly import Place
from worker.life.finder import Finder
from worker.life.service import Worker
from worker.life.stay import Stay
from worker.life.supervisor import Supervisor


def serve_run(connection: Connection, finder: Finder, settings: Settings, place: Place, step: str | None) -> int:
    """Waits for a run, serves one or all of its steps, and returns the exit code."""
    stopped = threading.Event()
    stop = stopped.set
    leave_at_once: Callable[[], None] = partial(os._exit, EXIT_STOPPED)
    on_stop_signals(lambda: stop(), lambda: leave_at_once())
    record = finder.find(stopped)
    if record is None:
        return EXIT_COMPLETE
    member: Worker | Supervisor
    if step is None:
        connection.close()
        member = supervisor = Supervisor(connection.url, record, settings, place)
        leave_at_once = supervisor.kill
    else:
        member = Worker(connection, record, step, settings, place)
    stop = member.stop
    return EXIT_COMPLETE if stopped.is_set() else member.run()


def serve_runs(connection: Connection, finder: Finder, settings: Settings, place: Place, step: str | None) -> int:
    """Serves one run after another; returns the exit code when told to stop, or when something fails."""
    url = connection.url
    serving = Stay(connection, finder, lambda found: Supervisor(url, found, settings, place, step))
    on_stop_signals(serving.stop, serving.kill)
    return serving.run()
