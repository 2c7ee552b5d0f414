"""Runs code that speaks to a test's hub in a separate process: the hub's client reads its address when imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.support.places import REPOSITORY
from tests.support.servers.hub_server import Hub

BEFORE = """
import json, sys
import datasets, huggingface_hub
from pathlib import Path
datasets.disable_progress_bars()
huggingface_hub.utils.disable_progress_bars()
def answer(value): print("answer: " + json.dumps(value, default=str))
"""


def run_at_hub(hub: Hub, folder: Path, code: str, **environment: str) -> Any:
    """The value that `code` passes to `answer()`. The process has separate caches below `folder`.

    Raises:
        AssertionError: it ended with an exception.
    """
    ended = subprocess.run(
        [sys.executable, "-c", BEFORE + textwrap.dedent(code)],
        env={**hub_environment(hub, folder), "PYTHONPATH": str(REPOSITORY), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    found = [line for line in ended.stdout.splitlines() if line.startswith("answer: ")]
    return json.loads(found[-1].removeprefix("answer: "))


def hub_environment(hub: Hub, folder: Path) -> dict[str, str]:
    """That of a process that speaks to this hub."""
    return {**os.environ, **hub.environment, "HF_HOME": str(folder / "hf")}
