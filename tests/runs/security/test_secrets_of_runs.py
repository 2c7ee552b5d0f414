"""Secrets are planted wherever one can come in, and looked for wherever something is kept, shown or passed on."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest
import redis

from tests.support.runs.harness import Harness, harnesses, wait_for
from tests.support.servers.redis_server import RedisServer

MARK = "planted"
"""In each secret, and in nothing else."""
GIVEN_IN_PYTHON, IN_URL, OF_BROKER, OF_HUB, OF_KEY = (f"{MARK}-{n}" for n in ("python", "url", "broker", "hub", "key"))
PROGRAM = """
    import sys
    from coordinator import Pipeline
    from common.steps.loading.data import LoadDataFromDicts
    from common.steps.tasks.text_generation import TextGeneration
    from common.llms.openai import OpenAILLM

    with Pipeline("keyed") as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": f"say {n}"} for n in range(6)])
        given = {"api_key": sys.argv[1]} if sys.argv[1:] else {}
        llm = OpenAILLM(model="m", max_retries=0, **given)
        load >> TextGeneration(name="ask", llm=llm, input_batch_size=2, max_failure_rate=1.0)

    if __name__ == "__main__":
        pipeline.run(progress=False)
"""


class Refusing(BaseHTTPRequestHandler):
    """An endpoint that repeats what it was sent in each error, headers and all."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        said = json.dumps(
            {"error": {"message": f"refused {self.headers['authorization']}: {self.headers.as_string()}"}}
        ).encode()
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Prints nothing on the terminal."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Its URL, with a password."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:{IN_URL}@127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


@pytest.fixture
def harness(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    for name, secret in {"OPENAI_BASE_URL": endpoint, "HF_TOKEN": OF_HUB, "OPENAI_API_KEY": OF_KEY}.items():
        monkeypatch.setenv(name, secret)
    yield from harnesses(tmp_path, fresh=True)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer("--port", "0") as server:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "user", "on", f">{OF_BROKER}", "~*", "&*", "+@all")
        yield server


def leaks(harness: Harness, server: RedisServer) -> list[str]:
    """Where a planted secret is found: files that the run has left, what commands print, keys of the broker."""
    marks = (MARK, b64encode(f"me:{IN_URL}".encode()).decode())
    files = [path for path in harness.folder.rglob("*") if path.is_file()]
    found = [str(path) for path in files for mark in marks if mark in path.read_text("latin-1")]
    with redis.Redis.from_url(server.url) as client:
        keys = client.keys("*")
        assert len(keys) > 5
        found += [f"{key!r}" for key in keys for mark in marks if mark.encode() in everything(client, key)]
    return found


def everything(client: redis.Redis, key: bytes) -> bytes:
    """What a key holds; not by DUMP, which compresses."""
    match client.type(key):
        case b"string":
            return bytes(client.get(key) or b"")
        case b"hash":
            return repr(client.hgetall(key)).encode()
        case b"set":
            return repr(client.smembers(key)).encode()
        case _:
            return repr(client.xrange(key)).encode()


@pytest.mark.parametrize("given", [[GIVEN_IN_PYTHON], []], ids=["in python", "in the environment"])
def test_no_secret_is_kept_or_shown(harness: Harness, server: RedisServer, given: list[str]) -> None:
    url = server.url.replace("unix://", f"unix://user:{OF_BROKER}@")
    text = "\n".join(line.removeprefix("    ") for line in PROGRAM.splitlines())
    program = harness.start_script(text, *given, BROKER_URL=url)
    seen: set[str] = set()

    def ended() -> bool:
        for process in harness.processes():
            if process.pid != program.process.pid:  # the test put the secret into its command line
                try:
                    seen.add(" ".join(process.cmdline()))
                except psutil.NoSuchProcess:
                    continue
        return program.process.poll() is not None

    wait_for(ended, 60, "the end of the program")
    record = harness.record()
    assert len(harness.letters()) == 6, program.text
    assert " ***: " in harness.letters()[0].error  # the endpoint had the secret and sent it back
    for command in (["status", record.run], ["runs"], ["failures", record.run], ["failures", "--json", record.run]):
        harness.start("pipeline-coordinator", *command, BROKER_URL=url).wait()
    refused = harness.start("pipeline-worker", "--step", "no", "--run", "no", "--broker", url.replace("user", "none"))
    assert refused.wait() == 1
    assert any("worker" in line for line in seen)
    assert [line for line in seen if MARK in line] == []
    assert leaks(harness, server) == []


SPEC = """
name: keyed
steps:
  load: {{type: LoadDataFromDicts, data: [{{instruction: hello}}]}}
  ask:
    type: TextGeneration
    after: load
    llm: {{type: OpenAILLM, model: m, {secret}}}
"""


@pytest.mark.parametrize(
    "secret",
    [
        "api_key: planted",
        "base_url: 'http://me:planted@127.0.0.1:1/v1'",
        "generation_kwargs: {extra_headers: {Authorization: Bearer planted}}",
        "generation_kwargs: {extra_headers: {X-Api-Key: planted}}",
        "generation_kwargs: {extra_headers: {Cookie: planted}}",
        "generation_kwargs: {extra_body: {auth_token: planted}}",
    ],
)
@pytest.mark.parametrize("command", ["run", "validate", "info"])
def test_a_secret_in_a_spec_is_refused_and_not_repeated(harness: Harness, secret: str, command: str) -> None:
    spec = harness.write_spec(SPEC.format(secret=secret))
    done = harness.start("pipeline-coordinator", command, spec)
    assert done.wait() == 2
    assert "secrets come from the worker's environment" in done.text
    assert MARK not in done.text


def test_a_secret_in_an_override_is_refused_and_not_repeated(harness: Harness) -> None:
    spec = harness.write_spec(SPEC.format(secret=""))
    done = harness.start_run(spec, "--set", "ask.llm.base_url=http://me:planted@127.0.0.1:1/v1")
    assert done.wait() == 2
    assert MARK not in done.text
