"""What the pods of coordinator and workers have in common: user, volumes and probes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from coordinator.rendering.cluster import PASSWORD_KEY, REDIS_PORT, Manifests
from coordinator.rendering.yaml_text import Commented

USER = 1000
"""User of the image."""
HOME = "/home/penstock"
FOLDER = "/work"
"""The spec's folder."""
OUTPUT = "/output"
END_SECONDS = 30
"""Extra time for a process to leave, besides the time for batches in hand."""
HEALTH = ["python", "-P", "-m", "common.health"]


def pod_security(user: int) -> dict[str, Any]:
    """Security context of an unprivileged pod that owns its volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """Security context of a container that writes only to its volumes."""
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def grace_seconds(manifests: Manifests) -> int:
    """Longer than the time for batches in hand after a stop."""
    return math.ceil(manifests.services.limits.grace) + END_SECONDS


def environment(manifests: Manifests, **more: str) -> list[dict[str, Any]]:
    """The broker's URL, whose password comes from a Secret, and the settings."""
    secret = {"name": manifests.name("redis"), "key": PASSWORD_KEY}
    url = f"redis://:$(PENSTOCK_REDIS_PASSWORD)@{manifests.name('redis')}:{REDIS_PORT}/0"
    values = {**manifests.services.settings, **more}
    return [
        {"name": "PENSTOCK_REDIS_PASSWORD", "valueFrom": {"secretKeyRef": secret}},
        {"name": "PENSTOCK_BROKER_URL", "value": url},
        *({"name": name, "value": value} for name, value in values.items()),
    ]


def container(
    manifests: Manifests, name: str, words: Sequence[str], mounts: Sequence[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Container of a coordinator or worker; keeps the entry point of the image, which forwards signals."""
    return Commented(
        {
            "name": name,
            "image": manifests.cluster.image,
            "args": [word.replace("$(", "$$(") for word in words],
            "workingDir": FOLDER,
            "env": environment(manifests),
            "envFrom": [{"secretRef": {"name": manifests.name("keys"), "optional": True}}],
            "securityContext": container_security(),
            "volumeMounts": [
                {"name": "scratch", "mountPath": "/tmp"},
                {"name": "models", "mountPath": HOME},
                *mounts,
            ],
            "terminationMessagePolicy": "FallbackToLogsOnError",
            **more,
        },
        {"envFrom": "OPENAI_API_KEY, HF_TOKEN and the like, if there is such a Secret."},
    )


def pod(
    manifests: Manifests, containers: Sequence[Any], volumes: Sequence[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Template of the pod of a coordinator or worker."""
    claim = manifests.cluster.model_claim
    models = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(USER),
        "terminationGracePeriodSeconds": grace_seconds(manifests),
        **more,
        "containers": list(containers),
        "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "models", **models}, *volumes],
    }


def liveness(manifests: Manifests) -> dict[str, Any]:
    """A process may wait for an unreachable broker; only one that does not even do that is ended."""
    patience = manifests.services.limits.patience
    return {
        "exec": {"command": HEALTH},
        "initialDelaySeconds": 60,
        "periodSeconds": 60,
        "timeoutSeconds": 30,
        "failureThreshold": math.ceil(patience / 60) + 5,
    }


def spec_volumes(manifests: Manifests) -> list[dict[str, Any]]:
    """The spec and the modules next to it."""
    return [{"name": "spec", "configMap": {"name": manifests.name("spec")}}]


def data_volumes(manifests: Manifests) -> list[dict[str, Any]]:
    """The claim for the dataset and the files that the spec reads."""
    return [{"name": "data", "persistentVolumeClaim": {"claimName": manifests.name("data")}}]


def spec_mounts(manifests: Manifests, *, files: bool) -> list[dict[str, Any]]:
    """The spec's folder. Each file is mounted separately, so that other files can be next to it.

    Args:
        files: also mount the folder of the claim that holds the data files.
    """
    found = [{"name": "data", "mountPath": FOLDER, "subPath": "work"}] if files else []
    return found + [
        {"name": "spec", "mountPath": f"{FOLDER}/{path}", "subPath": config_key(path), "readOnly": True}
        for path in config_files(manifests)
    ]


def config_files(manifests: Manifests) -> dict[str, str]:
    """Path below the spec's folder -> text."""
    return {manifests.services.file: manifests.services.text, **manifests.services.modules}


def config_key(path: str) -> str:
    """A key of a ConfigMap for a path."""
    return path.replace("/", "__")
