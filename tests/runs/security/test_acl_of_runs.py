"""Whole runs in which coordinator, workers and who watches are three users of the broker, with an ACL each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs.gpu_hosts import Gpus, hosts_of
from tests.support.runs.harness import Harness, wait_for
from tests.support.runs.hosts import SLOW, check_end, said
from tests.support.runs.roles import Roles, users
from tests.support.servers.redis_server import RedisServer

EVERYTHING = """
name: everything
steps:
  load: {{type: "mysteps:Count", rows: 60, batch_size: 7}}
  placed: {{type: "gpu_steps:Placed", after: load, input_batch_size: 10, notes: "{notes}", resources: {{gpus: 1}}}}
  async: {{type: "mysteps:DoubleAsync", after: placed, input_batch_size: 8, seconds: 0.001}}
  keep: {{type: KeepColumns, after: async, input_batch_size: 11, columns: [n, double]}}
"""


@pytest.fixture
def roles(roles: Roles) -> Iterator[Roles]:
    """The users; the broker may refuse nothing to them."""
    yield roles
    assert roles.refused() == []


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Gpus]:
    yield from hosts_of(tmp_path)


def ask(harness: Harness, roles: Roles, role: str, *command: str) -> str:
    asked = harness.start("pipeline-coordinator", *command, BROKER_URL=roles.url_of(role))
    assert asked.wait() == 0, asked.text
    return asked.text


def test_external_workers_under_a_user_of_their_own(roles: Roles, harness: Gpus) -> None:
    """Only the workers can import the steps, so they describe them too; and one has a device."""
    spec = harness.write(EVERYTHING)
    elsewhere = harness.folder / "elsewhere"
    elsewhere.mkdir()
    alone = spec.rename(elsewhere / spec.name)
    run = harness.start_run(alone, "--broker", roles.url_of("coordinator"), "--workers", "external")
    workers = [harness.start_worker(roles.url_of("worker"), step) for step in ("load", "placed", "async", "keep")]
    check_end(harness, run, workers)
    assert len(harness.rows("keep")) == 60
    run_id = harness.record().run
    for command in (("runs",), ("status", run_id), ("failures", run_id), ("gc", "--dry-run", "--older-than", "0s")):
        ask(harness, roles, "dashboard", *command)
    assert "in the broker" in ask(harness, roles, "coordinator", "rm", run_id)


def test_a_run_is_stopped_gone_on_with_and_collected(roles: Roles, harness: Gpus) -> None:
    spec = harness.write_spec(SLOW.replace("seconds: 0.1", "seconds: 0.3"))
    url = roles.url_of("coordinator")
    run = harness.start_run(spec, "--broker", url, "--workers", "external")
    workers = [harness.start_worker(roles.url_of("worker"), step) for step in ("load", "double")]
    wait_for(lambda: (harness.folder / "notes.txt").exists(), 60, "a batch of double")
    run_id = harness.record().run
    ask(harness, roles, "coordinator", "stop", run_id)
    assert run.wait() == 130, run.text
    assert "stopped" in ask(harness, roles, "dashboard", "status", run_id)
    assert [one.wait() for one in workers] == [0, 0]
    code, text = harness.run(spec, "--broker", url)  # with local workers
    assert code == 0, text
    assert len(harness.rows()) == 400
    assert "freed" in ask(harness, roles, "coordinator", "gc", "--older-than", "0s").lower()


def test_a_dry_run(roles: Roles, harness: Gpus) -> None:
    code, text = harness.run(harness.write(EVERYTHING), "--broker", roles.url_of("coordinator"), "--dry-run")
    assert code == 0, text


def test_a_user_that_may_not_is_told_what_it_lacks(acl_server: RedisServer, harness: Gpus) -> None:
    roles = Roles(acl_server.url)
    run = harness.start_run(harness.write_spec(SLOW), "--broker", roles.url_of("dashboard"))
    assert run.wait(30) == 1
    worker = harness.start_worker(roles.url_of("dashboard"), "load")
    assert worker.wait(30) == 1
    for text in (run.text, worker.text):
        assert "refuses this user" in text
        assert "UNLINK" in text
        assert "docs/security.md" in text
        assert "Traceback" not in text
        assert "change-me" not in text
    roles.remove()
    late = harness.start_worker(roles.url_of("worker"), "load")
    assert late.wait(30) == 1
    said(late, "refuses this user")


def test_a_worker_that_may_not_see_who_coordinates_says_so_at_once(acl_server: RedisServer, harness: Gpus) -> None:
    roles = Roles(acl_server.url)
    roles.admin.flushall()
    user = users()["worker"]
    roles.set(user, [rule for rule in user.rules if not rule.endswith(":lease")])
    harness.start_run(harness.write_spec(SLOW), "--broker", roles.url_of("coordinator"), "--workers", "external")
    worker = harness.start_worker(roles.url_of("worker"), "load")
    assert worker.wait(60) == 1
    assert "refuses this user EXISTS penstock:{" in worker.text
    assert "Traceback" not in worker.text
    roles.remove()
