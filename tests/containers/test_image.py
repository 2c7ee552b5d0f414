"""The image: what is in it, who it runs as, and its health check."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.containers.compose import IMAGE, docker


@pytest.fixture
def facts(image: str) -> dict[str, Any]:
    (found,) = json.loads(docker("image", "inspect", image))
    return dict(found["Config"])


def in_image(*words: str, check: bool = True) -> str:
    return docker("run", "--rm", IMAGE, *words, check=check).strip()


def test_it_runs_both_commands_as_a_user_without_rights(image: str) -> None:
    assert in_image("id", "-u") == "1000"
    assert in_image("pipeline-coordinator", "--version") == in_image("pipeline-worker", "--version").replace(
        "pipeline-worker", "pipeline-coordinator"
    )


def test_there_is_no_compiler_in_it(image: str) -> None:
    assert in_image("sh", "-c", "command -v gcc cc g++ make || echo none") == "none"


def test_it_checks_the_quickstart_that_it_carries(image: str) -> None:
    assert "7 steps" in in_image("pipeline-coordinator", "validate", "examples/quickstart.yaml")


def test_it_has_labels_and_a_health_check_and_begins_with_an_init(facts: dict[str, Any]) -> None:
    assert facts["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert facts["Healthcheck"]["Test"] == ["CMD", "python", "-P", "-m", "common.health"]
    assert facts["Entrypoint"] == ["tini", "--"]


def test_a_container_without_a_process_of_ours_is_not_well(image: str) -> None:
    said = in_image("python", "-P", "-m", "common.health", check=False)
    assert said == "neither pipeline-coordinator nor pipeline-worker is running here"


def test_any_user_may_run_it(image: str) -> None:
    said = docker("run", "--rm", "--user", "4321:4321", IMAGE, "sh", "-c", "touch ~/here && id -u")
    assert said.strip() == "4321"
