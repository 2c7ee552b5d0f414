"""An S3 of the tests' own: moto's server, a process on a free port of this host, ended by its pid."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

STARTING_SECONDS = 60.0
BUCKET = "rows"
SERVE = f"""
import sys
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import main
get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"].create_bucket("{BUCKET}", "us-east-1")
main(sys.argv[1:])
"""
"""The bucket is there from the first request on."""


class S3Server:
    """Serves S3 while it is entered; holds everything in memory, and has one bucket.

    Attributes:
        environment: variables with which boto finds it, and is let in.
    """

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> S3Server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it, with an empty bucket."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "-H", "127.0.0.1", "-p", str(self._port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MOTO_ALLOW_NONEXISTENT_REGION": "true"},
            cwd=Path(__file__).parent,
        )
        deadline = time.monotonic() + STARTING_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/moto-api/", timeout=10):
                    break
            except OSError:
                assert self._process.poll() is None, "moto's server has ended: is moto[s3] installed, and flask?"
                assert time.monotonic() < deadline, "moto's server does not answer"
                time.sleep(0.05)

    def kill(self) -> None:
        """Ends it at once; what it holds is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def keys(self) -> list[str]:
        """Names of everything in the bucket."""
        filesystem = self._filesystem()
        filesystem.invalidate_cache()
        return sorted(path.removeprefix(f"{BUCKET}/") for path in filesystem.find(BUCKET))

    def overwrite(self, key: str, data: bytes) -> None:
        """Puts other bytes in the place of an object."""
        self._filesystem().pipe_file(f"{BUCKET}/{key}", data)

    def _filesystem(self) -> Any:
        import fsspec

        url = f"http://127.0.0.1:{self._port}"
        return fsspec.filesystem("s3", key="testing", secret="testing", endpoint_url=url)
