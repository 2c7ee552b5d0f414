"""llama.cpp's own server, from the package `xllamacpp`, with a tiny model; in a separate process.

Run as a program, it serves until its standard input ends: `python -m tests.support.servers.llama_server MODEL [KIND]`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.support.places import REPOSITORY
from tests.support.servers.tiny_model import CONTEXT

SLOTS = 4
KEY = "sk-llama-0123456789"


def why_no_llama_server() -> str:
    """Why it cannot be started here; empty if it can."""
    missing = [name for name in ("xllamacpp", "gguf") if find_spec(name) is None]
    return f"llama.cpp's server needs {' and '.join(missing)}, which `make test` installs on Linux" if missing else ""


@contextmanager
def llama_server(model: Path, *kinds: str) -> Iterator[str]:
    """Its URL, without `/v1`.

    Args:
        kinds: `embeddings` for a server of vectors, `key` for one that wants KEY.
    """
    command = [sys.executable, "-m", "tests.support.servers.llama_server", str(model), *kinds]
    log = model.with_name("llama-server.log")
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, f"llama.cpp's server did not start: {log.read_text(errors='replace')[-2000:]}"
        yield url
    finally:
        process.kill()
        process.communicate()


def serve(model: str, kinds: list[str]) -> None:
    """Prints the URL once the model is loaded."""
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = model
    options.n_ctx = CONTEXT * SLOTS
    options.n_parallel = SLOTS
    options.hostnames = ["127.0.0.1"]
    options.port = 0
    options.n_gpu_layers = 0
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = 1
    options.n_threads_http = 4
    options.warmup = False
    if "embeddings" in kinds:
        options.embedding = True
        options.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if "key" in kinds:
        options.api_keys = [KEY]
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
