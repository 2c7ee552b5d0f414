"""What the pods of coordinator and workers have in common: who they run as, what they see, whether they are well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from coordinator.rendering.cluster import PASSWORD_KEY, REDIS_PORT, Manifests
from coordinator.rendering.yaml_text import Commented

USER = 1000
"""Of the image."""
HOME = "/home/penstock"
FOLDER = "/work"
"""The spec's folder."""
OUTPUT = "/output"
END_SECONDS = 30
"""What a process gets, beside the time for batches in hand, to say goodbye."""
HEALTH = ["python", "-P", "-m", "common.health"]


def pod_security(user: int) -> dict[str, Any]:
    """Of a pod that is nobody special; its volumes belong to it."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """Of a container that writes to its volumes alone."""
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def grace_seconds(manifests: Manifests) -> int:
    """Above the time that batches in hand get after a stop."""
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
    """Of coordinator or worker; the image's entry point, which hands signals on, stays."""
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
        {"envFrom": "OPENAI_API_KEY, HF_TOKEN and the like, where there is such a Secret."},
    )


def pod(
    manifests: Manifests, containers: Sequence[Any], volumes: Sequence[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Of coordinator or worker."""
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
    """A broker that is away is waited for: only a process that does not even do that is ended."""
    patience = manifests.services.limits.patience
    return {
        "exec": {"command": HEALTH},
        "initialDelaySeconds": 60,
        "periodSeconds": 60,
        "timeoutSeconds": 30,
        "failureThreshold": math.ceil(patience / 60) + 5,
    }


def spec_volumes(manifests: Manifests) -> list[dict[str, Any]]:
    """The spec and the modules beside it."""
    return [{"name": "spec", "configMap": {"name": manifests.name("spec")}}]


def data_volumes(manifests: Manifests) -> list[dict[str, Any]]:
    """The claim for the dataset and the files that the spec reads."""
    return [{"name": "data", "persistentVolumeClaim": {"claimName": manifests.name("data")}}]


def spec_mounts(manifests: Manifests, *, files: bool) -> list[dict[str, Any]]:
    """The spec's folder. Each file is mounted by itself, so that others can be beside it.

    Args:
        files: mount the folder of the claim that holds those as well.
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
