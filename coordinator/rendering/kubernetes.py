"""A pipeline as the manifests of a Kubernetes cluster."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from common.errors import UsageError
from coordinator.rendering.cluster import PASSWORD_KEY, Cluster, Manifests
from coordinator.rendering.kubernetes_redis import data_claim, redis_objects
from coordinator.rendering.kubernetes_workers import coordinator_job, scaling_objects, worker_deployment
from coordinator.rendering.pods import OUTPUT, config_files, config_key
from coordinator.rendering.services import PipelineServices
from coordinator.rendering.yaml_text import yaml_text

LARGEST_CONFIG = 1_000_000
"""Bytes; a ConfigMap takes 1 MiB in total."""


def kubernetes_files(services: PipelineServices, cluster: Cluster) -> Mapping[str, str]:
    """File name -> text, in the order in which to apply them.

    Raises:
        UsageError: the spec and its modules are too large for a ConfigMap, or a namespace is invalid.
    """
    cluster.check()
    manifests = Manifests(services, cluster)
    files = {
        "storage.yaml": [_config_map(manifests), data_claim(manifests, _access(services))],
        "redis.yaml": redis_objects(manifests),
        "workers.yaml": [worker_deployment(manifests, step) for step in services.steps],
        "coordinator.yaml": [coordinator_job(manifests)],
    }
    if cluster.keda:
        files["scaling.yaml"] = scaling_objects(manifests)
    return {name: yaml_text(documents, _header(manifests, name)) for name, documents in files.items()}


def _access(services: PipelineServices) -> str:
    """The access mode of the claim: workers that read files from it may be on any node."""
    return "ReadWriteMany" if any(step.files for step in services.steps) else "ReadWriteOnce"


def _config_map(manifests: Manifests) -> dict[str, Any]:
    texts = config_files(manifests)
    size = sum(len(text.encode()) for text in texts.values())
    if size > LARGEST_CONFIG:
        raise UsageError(
            f"the spec and the modules next to it have {size:,} bytes, and a ConfigMap takes {LARGEST_CONFIG:,}: "
            "install the modules in the image, and move rows from the spec to a file"
        )
    data = {config_key(path): text for path, text in texts.items()}
    return manifests.object("v1", "ConfigMap", manifests.name("spec"), "coordinator", {"data": data})


def _header(manifests: Manifests, file: str) -> str:
    services, namespace = manifests.services, shlex.quote(manifests.cluster.namespace)
    about = f"Pipeline {services.name}, run {manifests.run_id}: {_ABOUT[file]}"
    if file != "storage.yaml":
        return about
    steps = [
        about,
        "",
        f"  kubectl create namespace {namespace}",
        f"  kubectl -n {namespace} create secret generic {manifests.name('redis')} \\",
        f"    --from-literal={PASSWORD_KEY}=$(openssl rand -hex 32)",
        f"  kubectl -n {namespace} create secret generic {manifests.name('keys')} \\",
        "    --from-literal=OPENAI_API_KEY=...     # if a step needs one",
        "",
        f"The dataset is written to {OUTPUT}/{services.name} on the claim below. Change its size and class as needed.",
    ]
    return "\n".join(steps)


_ABOUT = {
    "storage.yaml": "the spec, and the volume for its dataset.",
    "redis.yaml": "the broker, and who may reach it.",
    "workers.yaml": "a Deployment for each step.",
    "coordinator.yaml": "the Job that runs it.",
    "scaling.yaml": "scales workers with the work of their step; needs KEDA 2.12.",
}
