"""The broker in a cluster: Redis with its data on a claim, reachable only by the run's pods and by KEDA."""

from __future__ import annotations

from typing import Any

from coordinator.rendering.cluster import PASSWORD_KEY, REDIS_PORT, Manifests
from coordinator.rendering.pods import container_security, pod_security
from coordinator.rendering.yaml_text import Commented

REDIS_USER = 999
"""User of the official image."""
MEMORY = "2Gi"
MAXMEMORY = "1536mb"
"""Below the limit of the container, so that a full broker reports it instead of being killed."""
CONFIGURATION = f"""\
exec redis-server - <<END
port {REDIS_PORT}
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory {MAXMEMORY}
maxmemory-policy noeviction
requirepass "$REDISCLI_AUTH"
END
"""
"""Read from standard input, so that the password appears in no command line."""


def redis_objects(manifests: Manifests) -> list[dict[str, Any]]:
    """StatefulSet, Service, and who may reach it."""
    return [_service(manifests), _stateful_set(manifests), *_policies(manifests)]


def _service(manifests: Manifests) -> dict[str, Any]:
    body = {
        "selector": manifests.labels("redis"),
        "ports": [{"name": "redis", "port": REDIS_PORT, "targetPort": "redis"}],
    }
    return manifests.object("v1", "Service", manifests.name("redis"), "redis", {"spec": body})


def _stateful_set(manifests: Manifests) -> dict[str, Any]:
    secret = {"name": manifests.name("redis"), "key": PASSWORD_KEY}
    answers = {"exec": {"command": ["sh", "-c", "redis-cli ping | grep -q PONG"]}, "timeoutSeconds": 5}
    container = Commented(
        {
            "name": "redis",
            "image": manifests.cluster.redis_image,
            "command": ["sh", "-c", CONFIGURATION],
            "env": [{"name": "REDISCLI_AUTH", "valueFrom": {"secretKeyRef": secret}}],
            "ports": [{"name": "redis", "containerPort": REDIS_PORT}],
            # While it loads its data, it listens but does not answer: it is alive and not ready.
            "readinessProbe": {**answers, "periodSeconds": 5},
            "livenessProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 10, "failureThreshold": 6},
            "resources": {"requests": {"cpu": "250m", "memory": MEMORY}, "limits": {"memory": MEMORY}},
            "securityContext": container_security(),
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        },
        {"resources": "maxmemory above must stay well below the limit."},
    )
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(REDIS_USER),
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": _claim_spec(manifests, "8Gi", "ReadWriteOnce"),
    }
    body = {
        "serviceName": manifests.name("redis"),
        "replicas": 1,
        "selector": {"matchLabels": manifests.labels("redis")},
        "template": {"metadata": {"labels": manifests.labels("redis")}, "spec": pod},
        "volumeClaimTemplates": [claim],
    }
    return manifests.object("apps/v1", "StatefulSet", manifests.name("redis"), "redis", {"spec": body})


def data_claim(manifests: Manifests, access: str) -> dict[str, Any]:
    """The claim for the run directory, the dataset and the files that the spec reads."""
    body = _claim_spec(manifests, manifests.cluster.storage, access)
    return manifests.object("v1", "PersistentVolumeClaim", manifests.name("data"), "coordinator", {"spec": body})


def _claim_spec(manifests: Manifests, size: str, access: str) -> dict[str, Any]:
    chosen = manifests.cluster.storage_class
    several = {"accessModes": "Pods on several nodes use it. On a cluster with one node, ReadWriteOnce is enough."}
    return Commented(
        {
            "accessModes": [access],
            **({"storageClassName": chosen} if chosen is not None else {}),
            "resources": {"requests": {"storage": size}},
        },
        several if access == "ReadWriteMany" else {},
    )


def _policies(manifests: Manifests) -> list[dict[str, Any]]:
    ours = [{"podSelector": {"matchLabels": manifests.labels(component)}} for component in ("coordinator", "worker")]
    keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": manifests.cluster.keda_namespace}}}
    to_redis = {
        "podSelector": {"matchLabels": manifests.labels("redis")},
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "from": [*ours, keda] if manifests.cluster.keda else ours,
                "ports": [{"port": REDIS_PORT, "protocol": "TCP"}],
            }
        ],
    }
    to_ours = [
        manifests.object(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            manifests.name(component),
            component,
            {"spec": {"podSelector": {"matchLabels": manifests.labels(component)}, "policyTypes": ["Ingress"]}},
        )
        for component in ("coordinator", "worker")
    ]
    redis = manifests.object(
        "networking.k8s.io/v1", "NetworkPolicy", manifests.name("redis"), "redis", {"spec": to_redis}
    )
    return [redis, *to_ours]
