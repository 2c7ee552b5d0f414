"""Runs a spec with the real command, in a separate folder, and measures the result."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class EngineRun:
    """A finished run.

    Args:
        started: time of the command, in seconds since the epoch.
        ended: time at which the last part was on disk.
        peaks: largest resident set seen per kind of process, in bytes.
    """

    folder: Path
    started: float
    ended: float
    peaks: dict[str, int]


def run_spec(
    spec: Path, folder: Path, overrides: Sequence[str] = (), *, broker: str | None = None, watch: float = 0.0
) -> EngineRun:
    """Runs a spec to its end.

    Args:
        overrides: `step.param=value`.
        broker: URL; None for the embedded one.
        watch: seconds between two looks at the processes' memory; 0 for none.
    """
    command = [sys.executable, "-m", "coordinator.cli", "run", str(spec), "--cache-dir", str(folder), "--fresh"]
    command += ["--allow", "async_steps"]  # the specs of async_rows.py lie elsewhere than the steps
    for override in overrides:
        command += ["--set", override]
    if broker is not None:
        command += ["--broker", broker]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE.parent), str(HERE)))}
    started = time.time()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        peaks = _watch(process, watch) if watch else {}
        code = process.wait()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{(folder / 'output.txt').read_text()}")
    parts = list(folder.glob("*/*/dataset/*/*.parquet"))
    return EngineRun(folder, started, max(part.stat().st_mtime for part in parts), peaks)


def _watch(process: subprocess.Popen[bytes], seconds: float) -> dict[str, int]:
    peaks: dict[str, int] = {}
    root = psutil.Process(process.pid)
    while process.poll() is None:
        for child in [root, *_descendants(root)]:
            try:
                kind = _kind(child, root)
                peaks[kind] = max(peaks.get(kind, 0), child.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(seconds)
    return peaks


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def _kind(process: psutil.Process, root: psutil.Process) -> str:
    if process.pid == root.pid:
        return "coordinator"
    if process.name() == "penstock-keeper":
        return "keeper"
    line = " ".join(process.cmdline())
    for kind in ("redis-server", "valkey-server", "guardian", "worker.cli"):
        if kind in line:
            return kind
    return "other"
