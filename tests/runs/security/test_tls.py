"""Brokers that are spoken to with TLS: whole runs, and what is said of an unsuitable certificate.

Each test runs against a Redis with a `tls-port` where there is one, and against a proxy that speaks TLS in front of the
ordinary Redis of the tests.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.broker.connection import Connection
from common.broker.patience import Patience
from common.errors import BrokerError, Disconnected, UsageError
from coordinator.local.server_binary import find_server
from tests.support.runs.harness import Harness, harnesses
from tests.support.runs.hosts import SPEC, STEP_NAMES, check_end
from tests.support.servers.certificates import OPENSSL, Authority, Pair
from tests.support.servers.redis_server import RedisServer
from tests.support.servers.tls_proxy import TlsProxy

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no `openssl` on PATH to make certificates with")


@dataclass(frozen=True, slots=True)
class Certificates:
    """`ours` has signed `server` and `client`; `theirs` is another authority."""

    ours: Authority
    theirs: Authority
    server: Pair
    client: Pair

    def url(self, port: int, **files: Path | str) -> str:
        """A URL with all that it takes, but for what `files` say otherwise; one that is empty is left out."""
        options = {"ca_certs": self.ours.certificate, "certfile": self.client.certificate, "keyfile": self.client.key}
        given = {name: file for name, file in {**options, **files}.items() if file}
        return f"rediss://127.0.0.1:{port}/0?" + "&".join(f"ssl_{name}={file}" for name, file in given.items())


Serve = Callable[..., int]
"""Starts a broker that speaks TLS with a certificate (the good one if none is named), and returns its port."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = Authority(folder / "ours"), Authority(folder / "theirs")
    return Certificates(ours, theirs, ours.sign("server"), ours.sign("client"))


@pytest.fixture(params=["proxy", "redis"])
def serve(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Serve]:
    with ExitStack() as stack:

        def proxy(pair: Pair = certificates.server) -> int:
            url = request.getfixturevalue("redis_url")
            return stack.enter_context(TlsProxy(url, pair, certificates.ours.certificate)).port

        def redis_server(pair: Pair = certificates.server) -> int:
            port = free_port()
            files = ("--tls-cert-file", pair.certificate, "--tls-key-file", pair.key)
            authority = ("--tls-ca-cert-file", certificates.ours.certificate)
            options = ("--tls-port", str(port), *map(str, (*files, *authority)))
            stack.enter_context(RedisServer(*options))
            return port

        if request.param == "redis" and (why := no_tls(find_server())):
            pytest.skip(why)
        yield redis_server if request.param == "redis" else proxy


def no_tls(server: Path) -> str:
    """Why the server of the tests cannot speak TLS; empty if it can."""
    found = subprocess.run([server, "--tls-port", "0", "--port", "none"], capture_output=True, text=True, timeout=10)
    said = found.stdout + found.stderr
    return f"{server} is built without TLS" if "tls-port" in said and 'port "none"' not in said else ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    yield from harnesses(tmp_path)


def reason(url: str) -> str:
    """The message about an unusable broker; within seconds, although patience is longer."""
    started = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        Patience(Connection(url, timeout=5), 60).reach()
    assert not isinstance(caught.value, Disconnected)
    assert time.monotonic() - started < 20
    return str(caught.value)


# whole runs


def test_a_run_with_local_workers_goes_over_tls(serve: Serve, certificates: Certificates, harness: Harness) -> None:
    url = certificates.url(serve())
    code, said = harness.run(harness.write_spec(SPEC), "--broker", url)
    assert code == 0, said
    assert [row["n"] for row in harness.rows("keep")] == list(range(1, 300, 2))
    assert "lease has died" not in harness.log


def test_a_run_with_external_workers_goes_over_tls(serve: Serve, certificates: Certificates, harness: Harness) -> None:
    url = certificates.url(serve())
    spec = harness.write_spec(SPEC)
    allow = ("--allow", "mysteps", "--base-dir", harness.folder)
    run = harness.start_run(spec, "--broker", url, "--workers", "external")
    workers = [
        harness.start("pipeline-worker", "--step", step, "--broker", url, *allow, WORKER_LEASE="0.6")
        for step in STEP_NAMES
    ]
    check_end(harness, run, workers)
    for command in (["runs"], ["status", harness.record().run], ["rm", harness.record().run]):
        done = harness.start("pipeline-coordinator", *command, BROKER_URL=url)
        assert done.wait() == 0, done.text
        assert harness.record().run in done.text if command[0] != "rm" else "keys in the broker" in done.text


# unsuitable certificates


def test_the_authority_must_be_named(serve: Serve, certificates: Certificates) -> None:
    port = serve()
    for authority in ("", certificates.theirs.certificate):
        assert "certificate is not trusted" in (text := reason(certificates.url(port, ca_certs=authority)))
        assert "ssl_ca_certs=FILE" in text


def test_a_certificate_that_has_expired_is_named(serve: Serve, certificates: Certificates) -> None:
    port = serve(certificates.ours.sign("old", days=-1))
    assert "its certificate has expired: renew it there" in reason(certificates.url(port))


@pytest.mark.parametrize("names", ["IP:127.0.0.9", "DNS:broker.example"])
def test_a_certificate_of_another_host_is_named(serve: Serve, certificates: Certificates, names: str) -> None:
    port = serve(certificates.ours.sign("elsewhere", names))
    assert "its certificate is for another host" in reason(certificates.url(port))


def test_a_client_without_certificate_is_told_so(serve: Serve, certificates: Certificates) -> None:
    text = reason(certificates.url(serve(), certfile="", keyfile=""))
    assert "requires a client certificate: add ssl_certfile=FILE and ssl_keyfile=FILE" in text


def test_a_client_of_another_authority_is_told_so(serve: Serve, certificates: Certificates) -> None:
    other = certificates.theirs.sign("stranger")
    text = reason(certificates.url(serve(), certfile=other.certificate, keyfile=other.key))
    assert "rejects this client's certificate" in text


def test_tls_at_a_port_without_it_is_named(certificates: Certificates) -> None:
    port = free_port()
    with RedisServer("--port", str(port), "--bind", "127.0.0.1"):
        with pytest.raises(Disconnected, match="a server that does not use TLS on this port is silent"):
            Patience(Connection(certificates.url(port), timeout=1), 0.1).reach()


def test_no_tls_at_a_port_with_it_ends_soon(serve: Serve) -> None:
    started = time.monotonic()
    with pytest.raises(Disconnected):
        Patience(Connection(f"redis://127.0.0.1:{serve()}", timeout=5), 1).reach()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("command", ["run", "worker", "status"])
def test_every_command_says_it_at_once(
    serve: Serve, certificates: Certificates, harness: Harness, command: str
) -> None:
    url = certificates.url(serve(), ca_certs=certificates.theirs.certificate)
    started = time.monotonic()
    match command:
        case "run":
            ended = harness.start_run(harness.write_spec(SPEC), "--broker", url)
        case "worker":
            ended = harness.start("pipeline-worker", "--step", "load", "--broker", url)
        case _:
            ended = harness.start("pipeline-coordinator", "status", "x", "--broker", url)
    assert ended.wait() == 1
    assert "is not trusted" in ended.text
    assert "Traceback" not in ended.text
    assert time.monotonic() - started < 15


# files that are not what they should be


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"ca_certs": "/no/ca.pem"}, "ssl_ca_certs=/no/ca.pem .* cannot be read: No such file or directory"),
        ({"certfile": "/no/client.pem"}, "ssl_certfile=/no/client.pem .* cannot be read"),
        ({"keyfile": "/no/client.key"}, "ssl_keyfile=/no/client.key .* cannot be read"),
        ({"certfile": ""}, "ssl_keyfile is useless without ssl_certfile"),
        ({"keyfile": ""}, "holds no certificate with its private key in PEM format: name the key"),
        ({"ca_certs": "text"}, "holds no certificate in PEM format"),
        ({"keyfile": "other"}, "do not belong together"),
        ({"keyfile": "text"}, "are not a certificate and its private key in PEM format"),
        ({"cert_reqs": "perhaps"}, "perhaps"),
    ],
    ids=str,
)
def test_files_are_looked_at_before_anything_is_sent(
    certificates: Certificates, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    (tmp_path / "text").write_text("no certificate")
    shutil.copy(certificates.server.key, tmp_path / "other")
    here = {name: tmp_path / file if file in ("text", "other") else file for name, file in files.items()}
    with pytest.raises(UsageError, match=said):
        Connection(certificates.url(1, **here))
