"""A pipeline as a file for Docker Compose."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.errors import UsageError
from coordinator.identity.request import RunRequest
from coordinator.identity.run_command import option_words, run_words
from coordinator.rendering.services import PipelineServices, StepService
from coordinator.rendering.yaml_text import Anchored, Commented, yaml_text

WORK = "/work"
"""Where the containers find the pipeline; also their working directory."""
END_SECONDS = 10
"""Extra time for a process to leave, besides the time for batches in hand."""
_BEGIN = re.compile(r"\n((?:  # .*\n)*  [\w-]+:\n    <<|(?:x-worker|services|volumes):)")
"""Start of a block that gets an empty line above it."""
PASSWORD = "${PENSTOCK_REDIS_PASSWORD:-penstock}"


def compose_text(
    services: PipelineServices, *, root: Path, beside: Path, image: str = "penstock", redis_image: str = "redis:8"
) -> str:
    """The text of a `docker-compose.yml`.

    Args:
        root: the folder that the containers see as `/work`; the spec is below it.
        beside: the folder of the file, where its relative paths start.

    Raises:
        UsageError: the spec is not below `root`.
    """
    root, beside = root.resolve(), beside.resolve()
    if not services.folder.is_relative_to(root):
        raise UsageError(f"--folder {root}: the spec is in {services.folder}, which is not below it")
    inside = services.folder.relative_to(root).as_posix()
    mount = f"${{FOLDER:-{_path(root, beside)}}}:{WORK}:ro"
    environment = Anchored(
        {**services.settings, "PENSTOCK_BROKER_URL": f"redis://:{PASSWORD}@redis:6379/0"}, "environment"
    )
    common = _common(services, environment, mount, image)
    worker = Anchored({"restart": "unless-stopped"}, "worker", merged=common)
    of_steps = {f"worker-{step.step}": _worker(step, worker, inside) for step in services.steps}
    document = {
        "x-penstock": common,
        "x-worker": worker,
        "services": Commented(
            {
                "redis": _redis(redis_image),
                "coordinator": _coordinator(services, common, environment, mount, inside),
                **of_steps,
                "workers": Anchored(
                    {
                        "profiles": ["all-steps"],
                        "command": "pipeline-worker --all-steps --stay ${WORKER_OPTIONS:-}",
                    },
                    merged=worker,
                ),
            },
            {next(iter(of_steps)): "One service per step.", "workers": "All steps of any spec."},
        ),
        "volumes": {"redis": {}},
    }
    return _BEGIN.sub(r"\n\n\1", yaml_text([document], _header(services)))


def _path(folder: Path, beside: Path) -> str:
    if not folder.is_relative_to(beside):
        return str(folder)
    inside = folder.relative_to(beside).as_posix()
    return inside if inside == "." else f"./{inside}"


def _common(services: PipelineServices, environment: Anchored, mount: str, image: str) -> Anchored:
    """What the coordinator and the workers have in common."""
    return Anchored(
        Commented(
            {
                "image": f"${{PENSTOCK_IMAGE:-{image}}}",
                "depends_on": {"redis": {"condition": "service_healthy"}},
                "environment": environment,
                "env_file": [{"path": ".env", "required": False}],
                "volumes": [mount],
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "stop_grace_period": f"{math.ceil(services.limits.grace) + END_SECONDS}s",
            },
            {
                "env_file": "Settings (PENSTOCK_*) and keys (OPENAI_API_KEY) for the processes.",
                "volumes": "The spec, its data and its modules.",
                "stop_grace_period": "Longer than PENSTOCK_GRACE, in which batches in hand are finished.",
            },
        ),
        "penstock",
    )


def _redis(image: str) -> dict[str, Any]:
    command = (
        'redis-server --appendonly yes --appendfsync everysec --save "" '
        "--maxmemory ${PENSTOCK_REDIS_MEMORY:-0} --maxmemory-policy noeviction "
        f"--requirepass {PASSWORD}"
    )
    answers = {"test": ["CMD-SHELL", "redis-cli ping | grep -q PONG"], "interval": "2s", "timeout": "5s", "retries": 30}
    return Commented(
        {
            "image": image,
            "command": command,
            "environment": {"REDISCLI_AUTH": PASSWORD},
            "volumes": ["redis:/data"],
            "ports": ["127.0.0.1:${PENSTOCK_REDIS_PORT:-}:6379"],
            "restart": "unless-stopped",
            "healthcheck": answers,
        },
        {"ports": "A free port, on this host only: docker compose port redis 6379"},
    )


def _coordinator(
    services: PipelineServices, common: Anchored, environment: Anchored, mount: str, inside: str
) -> dict[str, Any]:
    spec = services.file if inside == "." else f"{inside}/{services.file}"
    # Compose replaces the variables, so these words are not quoted like the others.
    place = RunRequest(output=f"/output/${{DATASET:-{services.name}}}")
    request = replace(services.request, answers="broker")  # a container's own disk goes with it
    words = [*run_words(place, f"${{SPEC:-{spec}}}"), _words(list(option_words(request)))]
    return Anchored(
        Commented(
            {
                "user": "${PENSTOCK_USER:-root}",
                "cap_add": ["CHOWN", "SETUID", "SETGID"],
                "entrypoint": ["tini", "--", "as-owner-of", "/output", WORK],
                "command": " ".join([*words, "${RUN_OPTIONS:-}"]),
                "environment": Anchored({"PENSTOCK_CACHE_DIR": "/output/cache"}, merged=environment),
                "volumes": [mount, "./output:/output"],
                "restart": "${RESTART:-no}",
            },
            {
                "user": "Starts as root and continues as the owner of ./output, without any capability.",
                "restart": "A run that halts, or has failed rows, would be retried forever.",
            },
        ),
        merged=common,
    )


def _worker(step: StepService, worker: Anchored, inside: str) -> dict[str, Any]:
    found: dict[str, Any] = {"command": _words(step.command(base_dir=inside))}
    deploy: dict[str, Any] = {"replicas": step.replicas} if step.replicas > 1 else {}
    resources: dict[str, Any] = {}
    limits = {"cpus": f"{step.cpus:g}" if step.cpus else None, "memory": str(step.memory) if step.memory else None}
    if given := {name: value for name, value in limits.items() if value is not None}:
        resources["limits"] = given
    if step.gpus:
        devices = [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
        resources["reservations"] = Commented(
            {"devices": devices},
            {
                "devices": f"Each worker takes {step.gpus} of them; workers with one host name know which are taken.\n"
                "If device_ids restricts them, give each list its own host name."
            },
        )
        found["hostname"] = "${GPU_HOST:-gpu-host}"
    if resources:
        deploy["resources"] = resources
    if deploy:
        found["deploy"] = deploy
    return Anchored(found, merged=worker)


def _words(words: Sequence[str]) -> str:
    """One line, which Compose splits into words again; `$` is escaped, since Compose would substitute variables."""
    return shlex.join(words).replace("$", "$$")


def _header(services: PipelineServices) -> str:
    first = (
        max(services.steps, key=lambda step: step.gpus).step
        if any(step.gpus for step in services.steps)
        else services.steps[-1].step
    )
    return (
        f"Pipeline {services.name} on one host: a broker, a coordinator, and a worker for each step.\n\n"
        "  docker compose up --exit-code-from coordinator     # runs it to the end; the dataset is in ./output\n"
        f"  docker compose up -d --scale worker-{first}=4\n"
    )
