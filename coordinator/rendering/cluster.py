"""The options of the manifests, and the names that they share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from common.errors import UsageError
from coordinator.rendering.names import LONGEST_PIPELINE, dns_name
from coordinator.rendering.services import PipelineServices

REDIS_PORT = 6379
PASSWORD_KEY = "password"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a user says about the cluster.

    Args:
        image: image of coordinator and workers.
        run_id: None for one derived from the pipeline.
        keda: whether KEDA scales the workers. If not, each step always has all its replicas.
        keda_namespace: where KEDA runs and queries Redis from.
        payloads: fsspec URL for rows that wait for a later stage; None to keep them in the broker.
        storage: size of the claim for the dataset, such as `20Gi`.
        storage_class: None for the cluster's default.
        model_claim: an existing claim for the models that workers load; None for a folder in each pod.
    """

    image: str = "penstock"
    namespace: str = "penstock"
    run_id: str | None = None
    redis_image: str = "redis:8"
    keda: bool = True
    keda_namespace: str = "keda"
    payloads: str | None = None
    storage: str = "20Gi"
    storage_class: str | None = None
    model_claim: str | None = None

    def check(self) -> None:
        """Raises UsageError for an invalid namespace."""
        for namespace in (self.namespace, self.keda_namespace):
            if not _NAMESPACE.fullmatch(namespace):
                raise UsageError(f"'{namespace}' is not a valid namespace: use up to 63 of a-z, 0-9 and '-'")


@dataclass(frozen=True, slots=True)
class Manifests:
    """The names of a pipeline's objects, and what they have in common."""

    services: PipelineServices
    cluster: Cluster

    @property
    def prefix(self) -> str:
        """Prefix of every name."""
        return dns_name(self.services.name, LONGEST_PIPELINE)

    @property
    def run_id(self) -> str:
        """The id of the run, known before the run starts, since KEDA must name its streams."""
        return self.cluster.run_id or self.services.new_run_id()

    @property
    def dispatch_slack(self) -> int:
        """Batches that may wait for a step: at least one for each possible worker."""
        return max(self.services.limits.dispatch_slack, *(step.replicas for step in self.services.steps))

    def name(self, part: str) -> str:
        """Name of an object, such as `quickstart-redis`."""
        return f"{self.prefix}-{part}"

    def worker(self, step: str) -> str:
        """Name of what runs a step."""
        return dns_name(f"{self.prefix}-worker-{step}")

    def labels(self, component: str, name: str = "") -> dict[str, str]:
        """The labels that selectors match.

        Args:
            name: name of the worker's Deployment; empty for anything else.
        """
        found = {
            "app.kubernetes.io/name": "penstock",
            "app.kubernetes.io/instance": self.prefix,
            "app.kubernetes.io/component": component,
        }
        return {**found, "penstock/worker": name} if name else found

    def object(
        self, api: str, kind: str, name: str, component: str, body: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        """An object with its metadata; `more` goes into the metadata too."""
        metadata = {"name": name, "namespace": self.cluster.namespace, "labels": self.labels(component), **more}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}
