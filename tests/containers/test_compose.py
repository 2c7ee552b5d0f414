"""`docker compose up`, and what is done to it in mid-run: the dataset is that of an uninterrupted run."""

from __future__ import annotations

import os

import pytest
import redis
from ruamel.yaml import YAML

from tests.containers.compose import PASSWORD, SERVICES, Compose, docker
from tests.support.runs.harness import REPOSITORY, wait_for
from tests.support.tasks.package import SPEC, install_package

CALLER = 12345
"""A user that neither this host nor the image knows."""


def test_the_quickstart_runs_to_its_end_and_leaves_the_dataset_to_the_caller(quickstart: Compose) -> None:
    if os.geteuid() == 0:  # another user's clone
        os.chown(quickstart.folder, CALLER, CALLER)
    code, said = quickstart.run("up", "--exit-code-from", "coordinator", timeout=180)
    assert code == 0, said
    assert "is complete: 2,075 rows" in said
    assert len(list((quickstart.folder / "output" / "quickstart" / "keep").glob("*.parquet"))) > 0
    owner = quickstart.folder.stat()
    for path in (quickstart.folder / "output").rglob("*"):
        assert (path.stat().st_uid, path.stat().st_gid) == (owner.st_uid, owner.st_gid), path
    code, said = quickstart.run("up", "--exit-code-from", "coordinator", timeout=180)
    assert code == 0, said
    assert "was already complete" in quickstart.logs("coordinator")


def test_the_exit_code_is_the_coordinators(quickstart: Compose) -> None:
    (quickstart.folder / "examples" / "wrong.yaml").write_text("name: wrong\nsteps: {a: {type: NoSuchStep}}\n")
    code, said = quickstart.run("up", "--exit-code-from", "coordinator", timeout=180, SPEC="examples/wrong.yaml")
    assert code == 2, said
    assert "examples/wrong.yaml:2" in said


def test_redis_keeps_its_data_wants_its_password_and_is_seen_by_this_host_alone(quickstart: Compose) -> None:
    quickstart.do("up", "-d", "--wait", "redis")
    with redis.Redis.from_url(quickstart.url, decode_responses=True) as client:
        assert client.config_get("appendonly")["appendonly"] == "yes"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        client.set("kept", 1)
    with redis.Redis(port=quickstart.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("kept")
    assert quickstart.do("port", "redis", "6379").strip() == f"127.0.0.1:{quickstart.port}"
    quickstart.do("rm", "--stop", "--force", "redis")
    quickstart.do("up", "-d", "--wait", "redis")
    with redis.Redis.from_url(quickstart.url, password=PASSWORD) as client:
        assert client.get("kept") == b"1"


def test_whatever_container_is_killed_in_mid_run_nothing_is_lost(slow: Compose, left_alone: str) -> None:
    slow.do("up", "-d")
    for step in ("load", "clean"):
        slow.wait_for_step(step)
        slow.kill(f"worker-{step}")
        slow.do("start", f"worker-{step}")
        slow.wait_for_results(4)
    wait_for(lambda: slow.workers("unique"), 60, "the second stage")
    slow.kill("worker-unique")
    slow.do("start", "worker-unique")
    for service in ("worker-generate", "worker-keep", "coordinator", "redis"):
        slow.wait_for_step("generate")
        slow.kill(service)
        slow.do("start", service)
    assert slow.wait() == 0, slow.logs()
    assert slow.digest() == left_alone
    assert {slow.inspect(service, "{{.RestartCount}}") for service in SERVICES} == {"0"}, "none failed by itself"


def test_everything_is_stopped_in_good_order_and_goes_on(slow: Compose, left_alone: str) -> None:
    slow.do("up", "-d")
    slow.wait_for_step("generate")
    slow.do("stop")
    codes = {service: slow.inspect(service, "{{.State.ExitCode}}") for service in SERVICES}
    assert codes == {**dict.fromkeys(SERVICES, "0"), "coordinator": "130"}, slow.logs()
    slow.do("up", "-d")
    assert slow.wait() == 0, slow.logs()
    assert slow.digest() == left_alone


def test_a_step_has_as_many_workers_as_it_is_scaled_to_and_those_that_crash_come_back(
    slow: Compose, left_alone: str
) -> None:
    slow.do("up", "-d", "--scale", "worker-generate=4")
    wait_for(lambda: len(slow.workers("generate")) == 4, 60, "four workers")
    assert len({worker.host for worker in slow.workers("generate")}) == 4
    slow.do("up", "-d", "--no-recreate", "--scale", "worker-generate=1")
    slow.run("exec", "-T", "worker-generate", "sh", "-c", "kill -9 -1")  # its shell may end with the container
    assert slow.wait() == 0, slow.logs()
    assert slow.digest() == left_alone
    assert slow.inspect("worker-generate", "{{.RestartCount}}") == "1"


def test_a_worker_that_is_cut_off_is_let_back(slow: Compose, left_alone: str) -> None:
    slow.do("up", "-d")
    slow.wait_for_step("generate")
    (worker,) = slow.containers("worker-generate")
    docker("network", "disconnect", f"{slow.name}_default", worker)
    wait_for(lambda: not slow.workers("generate"), 60, "its lease to run out")
    assert "cannot be reached" in docker("exec", worker, "python", "-P", "-m", "common.health", check=False)
    docker("network", "connect", f"{slow.name}_default", worker)
    assert slow.wait() == 0, slow.logs()
    assert slow.digest() == left_alone


def test_one_service_works_on_all_steps_of_another_pipeline(quickstart: Compose) -> None:
    (quickstart.folder / "examples" / "other.yaml").write_text(
        "name: other\nsteps:\n"
        "  load: {type: LoadDataFromFile, path: data/shakespeare.jsonl}\n"
        '  tidy: {type: "mysteps:Normalize", after: load, resources: {replicas: 2}}\n'
    )
    code, said = quickstart.run(
        *("up", "--exit-code-from", "coordinator", "coordinator", "workers"),
        timeout=180,
        SPEC="examples/other.yaml",
        DATASET="other",
        WORKER_OPTIONS="--allow mysteps --base-dir examples",
    )
    assert code == 0, said
    assert "worker-load" not in said
    assert (quickstart.folder / "output" / "other" / "tidy").is_dir()


def test_a_task_of_a_package_is_found_by_its_entry_point_in_other_containers(quickstart: Compose) -> None:
    site = quickstart.folder / "site"
    site.mkdir()
    install_package(site)
    (quickstart.folder / ".env").write_text("PYTHONPATH=/work/site\n")
    (quickstart.folder / "examples" / "packed.yaml").write_text(SPEC)
    code, said = quickstart.run(
        *("up", "--exit-code-from", "coordinator", "coordinator", "workers"),
        timeout=180,
        SPEC="examples/packed.yaml",
        DATASET="packed",
    )
    assert code == 3, said
    assert "it has no rating" in said


def test_the_file_has_a_service_for_each_step_of_the_quickstart(quickstart: Compose) -> None:
    spec = YAML(typ="safe").load(REPOSITORY / "examples" / "quickstart.yaml")
    assert set(quickstart.do("config", "--services").split()) == {
        "redis",
        "coordinator",
        *(f"worker-{step}" for step in spec["steps"]),
    }
