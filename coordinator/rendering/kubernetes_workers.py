"""Coordinator and workers in a cluster: a Job, and for each step a Deployment and its scaling."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

from common.protocol.keys import GROUP, Keys
from coordinator.identity.run_command import run_words
from coordinator.rendering.cluster import PASSWORD_KEY, REDIS_PORT, Manifests
from coordinator.rendering.pods import (
    FOLDER,
    HEALTH,
    OUTPUT,
    container,
    container_security,
    data_volumes,
    environment,
    liveness,
    pod,
    spec_mounts,
    spec_volumes,
)
from coordinator.rendering.services import StepService
from coordinator.rendering.yaml_text import Commented

MOST_WAITING = 5
"""Batches that wait per worker before another one is started."""
KEEPS_ONE = 1_000
"""Stream entries that call for one more worker: there are never that many, but a single one keeps a worker."""
OUTCOMES = [2, 3, 5]
"""Exit codes that a rerun would end with again: a mistake; complete, with failed rows; not pushed."""
NO_FAULT = [75, 130]
"""Another coordinator has the run; or it was asked to stop, for example because its pod was deleted."""


def coordinator_job(manifests: Manifests) -> dict[str, Any]:
    """Runs the pipeline. A lost pod is replaced by another one, which resumes the run."""
    services, cluster = manifests.services, manifests.cluster
    request = replace(
        services.request,
        standby=True,
        run_id=manifests.run_id,
        output=f"{OUTPUT}/{services.name}",
        payloads=cluster.payloads or None,
        answers="broker",  # a pod's own disk goes with it
    )
    reads = any(step.files for step in services.steps)
    mounts = [*spec_mounts(manifests, files=reads), {"name": "data", "mountPath": OUTPUT, "subPath": "output"}]
    variables = {
        "PENSTOCK_CACHE_DIR": f"{OUTPUT}/cache",
        "PENSTOCK_DISPATCH_SLACK": str(manifests.dispatch_slack),
    }
    main = container(
        manifests,
        "coordinator",
        run_words(request, f"{FOLDER}/{services.file}"),
        mounts,
        env=environment(manifests, **variables),
        livenessProbe=liveness(manifests),
        resources={"requests": {"cpu": "250m", "memory": "512Mi"}},
    )
    wait = {
        "name": "wait",
        "image": cluster.image,
        "command": ["sh", "-c", _wait(manifests)],
        "securityContext": container_security(),
        "volumeMounts": mounts,
    }
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": {"containerName": "coordinator", "operator": "In", "values": NO_FAULT}},
        {"action": "FailJob", "onExitCodes": {"containerName": "coordinator", "operator": "In", "values": OUTCOMES}},
    ]
    spec = pod(
        manifests,
        [main],
        [*spec_volumes(manifests), *data_volumes(manifests)],
        restartPolicy="Never",
        initContainers=[wait],
    )
    body = Commented(
        {
            "backoffLimit": 6,
            "podFailurePolicy": {"rules": rules},
            "template": {
                "metadata": {"labels": manifests.labels("coordinator"), "annotations": _annotations(manifests)},
                "spec": spec,
            },
        },
        {
            "podFailurePolicy": "Exit codes: 2 a mistake, 3 complete but some rows failed, 5 complete but not pushed; "
            "again after 75, 130\nand lost nodes; after anything else backoffLimit times."
        },
    )
    return manifests.object("batch/v1", "Job", manifests.name("coordinator"), "coordinator", {"spec": body})


def _wait(manifests: Manifests) -> str:
    """Waits until Redis answers and the files that the spec reads have been copied to the claim."""
    address = f"('{manifests.name('redis')}', {REDIS_PORT})"
    redis = f"import socket; socket.create_connection({address}, 5)"
    lines = [f'until python -c "{redis}" 2>/dev/null; do echo "waiting for Redis"; sleep 2; done']
    for path in dict.fromkeys(path for step in manifests.services.steps for path in step.files):
        there = _before_wildcards(f"{FOLDER}/{path}")
        text = shlex.quote(f"waiting for {there}: kubectl cp it to this pod (-c wait)")
        lines.append(f"until test -e {shlex.quote(there)}; do echo {text}; sleep 5; done")
    return "\n".join(lines) + "\n"


def _before_wildcards(path: str) -> str:
    parts = path.split("/")
    first = next((place for place, part in enumerate(parts) if any(mark in part for mark in "*?[")), len(parts))
    return "/".join(parts[:first])


def worker_deployment(manifests: Manifests, step: StepService) -> dict[str, Any]:
    """Workers of a step. Each waits for its run and its stage, and then for the next run."""
    name = manifests.worker(step.step)
    labels = manifests.labels("worker", name)
    words = step.command("--pipeline", manifests.services.name, base_dir=FOLDER)
    mounts = spec_mounts(manifests, files=bool(step.files)) if step.needs_folder else []
    volumes = spec_volumes(manifests) if step.needs_folder else []
    volumes += data_volumes(manifests) if step.files else []
    more: dict[str, Any] = {}
    if step.gpus:
        mounts.append({"name": "memory", "mountPath": "/dev/shm"})
        volumes.append({"name": "memory", "emptyDir": {"medium": "Memory"}})
        more["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    main = container(
        manifests,
        "worker",
        words,
        mounts,
        readinessProbe={"exec": {"command": HEALTH}, "periodSeconds": 30, "timeoutSeconds": 20},
        livenessProbe=liveness(manifests),
        resources=_resources(step),
    )
    # An upgrade needs no spare GPUs: an old worker leaves before a new one starts.
    update = {"maxSurge": 0, "maxUnavailable": 1} if step.gpus else {"maxSurge": 1, "maxUnavailable": 0}
    body = {
        **({} if manifests.cluster.keda else {"replicas": step.replicas}),
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": update},
        "progressDeadlineSeconds": 3600,
        "template": {
            "metadata": {"labels": labels, "annotations": _annotations(manifests, step.step)},
            "spec": pod(manifests, [main], volumes, **more),
        },
    }
    return manifests.object(
        "apps/v1", "Deployment", name, "worker", {"spec": body}, annotations={"penstock/step": step.step}
    )


def _resources(step: StepService) -> dict[str, Any]:
    requests = {
        "cpu": f"{step.cpus:g}" if step.cpus else "100m",
        "memory": str(step.memory) if step.memory else "256Mi",
    }
    limits = {"memory": str(step.memory)} if step.memory else {}
    if step.gpus:
        limits["nvidia.com/gpu"] = str(step.gpus)
    return {"requests": requests, **({"limits": limits} if limits else {})}


def _annotations(manifests: Manifests, step: str = "") -> dict[str, str]:
    found = {"penstock/pipeline": manifests.services.name}
    return {**found, "penstock/step": step} if step else {**found, "penstock/run": manifests.run_id}


def scaling_objects(manifests: Manifests) -> list[dict[str, Any]]:
    """How KEDA reaches Redis, and how many workers each step should have."""
    secret = {"parameter": "password", "name": manifests.name("redis"), "key": PASSWORD_KEY}
    login = manifests.object(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        manifests.name("redis"),
        "redis",
        {"spec": {"secretTargetRef": [secret]}},
    )
    return [login, *(_scaled_object(manifests, step) for step in manifests.services.steps)]


def lag_count(replicas: int, slack: int) -> int:
    """Batches that wait for each worker: few enough that the most that is sent (`slack`) calls for all workers."""
    return max(1, min(MOST_WAITING, slack // replicas))


def _scaled_object(manifests: Manifests, step: StepService) -> dict[str, Any]:
    name = manifests.worker(step.step)
    stream = {
        "address": f"{manifests.name('redis')}.{manifests.cluster.namespace}.svc:{REDIS_PORT}",
        "stream": Keys(manifests.run_id).inputs(step.step),
    }
    lag = {
        **stream,
        "consumerGroup": GROUP,
        "lagCount": str(lag_count(step.replicas, manifests.dispatch_slack)),
        "activationLagCount": "1",
    }
    login = {"name": manifests.name("redis")}
    triggers = [
        {"type": "redis-streams", "metadata": lag, "authenticationRef": login},
        Commented(
            {
                "type": "redis-streams",
                "metadata": {**stream, "streamLength": str(KEEPS_ONE)},
                "authenticationRef": login,
            },
            {
                "metadata": "The lag leaves out batches in hand, and a global step has only one batch: while an entry\n"
                "exists, so does a worker. (Entries that are done are deleted.)"
            },
        ),
    ]
    body = Commented(
        {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "pollingInterval": 10,
            "cooldownPeriod": 120,
            "minReplicaCount": 0 if step.described else 1,
            "maxReplicaCount": step.replicas,
            "triggers": triggers,
        },
        {} if step.described else {"minReplicaCount": "The run waits until a worker has described this step."},
    )
    return manifests.object("keda.sh/v1alpha1", "ScaledObject", name, "worker", {"spec": body})
