"""Every rendering starts the coordinator with all options of the request, whichever there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.rendering.cluster import Cluster
from coordinator.rendering.compose import compose_text
from coordinator.rendering.kubernetes import kubernetes_files
from coordinator.rendering.services import PipelineServices, pipeline_services
from coordinator.rendering.systemd import Host, systemd_files
from tests.support.places import REPOSITORY
from tests.support.rendered import QUICKSTART


def compose(services: PipelineServices) -> str:
    return compose_text(services, root=services.folder, beside=REPOSITORY)


def kubernetes(services: PipelineServices) -> str:
    return "\n".join(kubernetes_files(services, Cluster()).values())


def systemd(services: PipelineServices) -> str:
    return "\n".join(systemd_files(services, Host(services.folder, Path("/opt/bin"), "penstock")).values())


@pytest.mark.parametrize("render", [compose, kubernetes, systemd])
def test_an_option_of_the_request_is_in_the_rendered_command(render: Callable[[PipelineServices], str]) -> None:
    services = pipeline_services(QUICKSTART)
    more = replace(services, request=replace(services.request, limit=4711, private=True))
    for option in ("--limit", "4711", "--private"):
        assert option not in render(services)
        assert option in render(more)
