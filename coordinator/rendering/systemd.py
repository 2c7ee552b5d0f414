"""A pipeline as systemd units, for hosts on which workers run without containers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import UsageError
from coordinator.identity.run_command import run_words
from coordinator.rendering.services import PipelineServices, StepService

END_SECONDS = 30
"""Extra time for a process to leave, besides the time for batches in hand."""
STATE = "penstock"
"""Folder below /var/lib that the processes may write to: their home, with the models that they load."""
Line = tuple[str, str] | str
"""A key and its value, or a comment."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@%+-]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Host:
    """What the hosts have.

    Args:
        folder: the spec's folder, absolute.
        binaries: where `pipeline-worker` is.
        user: the user that the processes run as.
    """

    folder: Path
    binaries: Path
    user: str = "penstock"


def systemd_files(services: PipelineServices, host: Host) -> Mapping[str, str]:
    """File name -> text.

    Raises:
        UsageError: a path is not absolute, or the user name is invalid.
    """
    for option, path in (("--folder", host.folder), ("--bin-dir", host.binaries)):
        if not path.is_absolute():
            raise UsageError(f"{option} {path} is not absolute; pass an absolute path, as systemd requires")
    if not _USER.fullmatch(host.user):
        raise UsageError(f"--user '{host.user}' is not a valid user name")
    prefix = f"penstock-{services.name}"
    files = {f"{services.name}.env": _environment_file(services)}
    files[f"{prefix}.target"] = _sections([("Description", f"Penstock: workers of pipeline {services.name}")], None)
    files[f"{prefix}-coordinator.service"] = _coordinator(services, host)
    for step in services.steps:
        files[f"{prefix}-worker-{step.step}@.service"] = _worker(services, step, host)
    return files


def _environment_file(services: PipelineServices) -> str:
    return f"""\
# For every host of pipeline {services.name}, as /etc/penstock/{services.name}.env. It holds secrets:
#   install -D -o root -g root -m 0600 {services.name}.env /etc/penstock/{services.name}.env

# The broker user is penstock-worker on hosts with workers, and penstock-coordinator on that of the coordinator.
PENSTOCK_BROKER_URL="rediss://penstock-worker:PASSWORD@broker.example:6379/0?ssl_ca_certs=/etc/penstock/ca.pem"

# What the steps need.
#OPENAI_API_KEY=
#HF_TOKEN=
"""


def _coordinator(services: PipelineServices, host: Host) -> str:
    request = replace(
        services.request,
        standby=True,
        cache_dir=Path(f"/var/lib/{STATE}/runs"),
        output=f"/var/lib/{STATE}/{services.name}",
    )
    words = run_words(request, str(host.folder / services.file), str(host.binaries / "pipeline-coordinator"))
    service: list[Line] = [
        ("Type", "exec"),
        ("ExecStart", _line(words)),
        *_process(services, host),
        "# 1: failed or halted, 75: another coordinator had it; both resume. 2: a mistake, 3: complete with failed",
        "# rows, 5: complete but not pushed; a restart would not change these. 130: it was stopped and can be resumed.",
        ("Restart", "on-failure"),
        ("RestartSec", "30"),
        ("RestartPreventExitStatus", "2 3 5"),
        ("SuccessExitStatus", "3 130"),
        *_stopping(
            services, "SIGTERM lets workers finish their batches in hand and stops the run, which can be resumed."
        ),
        *_hardening(host, gpus=False),
    ]
    unit: list[Line] = [
        ("Description", f"Penstock: coordinator of pipeline {services.name}"),
        ("Documentation", "man:systemd.service(5)"),
        ("Wants", "network-online.target"),
        ("After", "network-online.target"),
        "# A run that fails five times in an hour waits for someone to look at it.",
        ("StartLimitIntervalSec", "3600"),
        ("StartLimitBurst", "5"),
    ]
    return _sections(unit, service)


def _worker(services: PipelineServices, step: StepService, host: Host) -> str:
    words = step.command("--pipeline", services.name, base_dir=str(host.folder), elsewhere=True)
    words[0] = str(host.binaries / words[0])
    instance = f"penstock-{services.name}-worker-{step.step}@"
    target = f"penstock-{services.name}.target"
    pinned = f"/etc/penstock/{services.name}-{step.step}@%i.env"
    service: list[Line] = [
        ("Type", "exec"),
        ("ExecStart", _line(words)),
        *_process(services, host),
        "# Optional settings of one worker, such as CUDA_VISIBLE_DEVICES=0. Without that, the workers of a host",
        "# share its GPUs: each takes as many free ones as it needs.",
        ("EnvironmentFile", f"-{pinned}"),
        "# 78: it cannot serve the step (another version, another source, a missing package): someone must look.",
        ("Restart", "always"),
        ("RestartSec", "15"),
        ("RestartPreventExitStatus", "78"),
        "# A worker that is out of memory is replaced by its supervisor.",
        ("OOMPolicy", "continue"),
        *_stopping(
            services, "SIGTERM goes only to the worker: it finishes its batches in hand and hands the rest back."
        ),
        "# The process that keeps its leases releases them; then what the step has left behind is ended.",
        ("ExecStopPost", "-/bin/sleep 1"),
        *_hardening(host, gpus=bool(step.gpus)),
    ]
    unit: list[Line] = [
        f"# systemctl enable --now {instance}1 starts one worker; @2, @3 and so on start more on this host.",
        ("Description", f"Penstock: worker %i of step {step.step} of pipeline {services.name}"),
        ("Documentation", "man:systemd.service(5)"),
        ("Wants", "network-online.target"),
        ("After", f"network-online.target {target}{' nvidia-persistenced.service' if step.gpus else ''}"),
        ("StartLimitIntervalSec", "0"),
        "# Stopping the target stops its workers, and waits for them.",
        ("PartOf", target),
    ]
    return _sections(unit, service, target)


def _process(services: PipelineServices, host: Host) -> Iterable[Line]:
    yield ("User", host.user)
    yield ("StateDirectory", STATE)
    yield ("WorkingDirectory", f"/var/lib/{STATE}")
    yield ("Environment", f"HOME=/var/lib/{STATE} HF_HOME=/var/lib/{STATE}/huggingface PYTHONUNBUFFERED=1")
    for name, value in services.settings.items():
        yield ("Environment", _quoted(f"{name}={value}"))
    yield "# PENSTOCK_BROKER_URL and the keys of endpoints; read before the process switches to its user."
    yield ("EnvironmentFile", f"/etc/penstock/{services.name}.env")


def _stopping(services: PipelineServices, why: str) -> Iterable[Line]:
    yield f"# {why}"
    yield ("KillMode", "mixed")
    yield ("KillSignal", "SIGTERM")
    yield ("TimeoutStopSec", str(math.ceil(services.limits.grace) + END_SECONDS))


def _hardening(host: Host, *, gpus: bool) -> Iterable[Line]:
    yield ("NoNewPrivileges", "yes")
    yield ("CapabilityBoundingSet", "")
    if gpus:
        yield "# The device files of the GPUs must exist: nvidia-persistenced and nvidia-modprobe -u create them."
    yield ("PrivateDevices", "no" if gpus else "yes")
    yield ("PrivateTmp", "yes")
    yield ("ProtectSystem", "strict")
    in_home = any(path.is_relative_to("/home") or path.is_relative_to("/root") for path in (host.folder, host.binaries))
    yield ("ProtectHome", "read-only" if in_home else "yes")
    for name in ("KernelTunables", "KernelModules", "KernelLogs", "ControlGroups", "Clock", "Hostname"):
        yield (f"Protect{name}", "yes")
    yield ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK")
    for name in ("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality"):
        yield (name, "yes")
    yield ("SystemCallArchitectures", "native")
    yield ("UMask", "0027")
    yield ("LimitNOFILE", "65536")


def _sections(unit: Iterable[Line], service: Iterable[Line] | None, wanted_by: str = "multi-user.target") -> str:
    sections = [("Unit", unit), *([("Service", service)] if service is not None else [])]
    sections.append(("Install", [("WantedBy", wanted_by)]))
    return "\n".join(f"[{name}]\n{''.join(map(_text, lines))}" for name, lines in sections)


def _text(line: Line) -> str:
    return f"{line}\n" if isinstance(line, str) else f"{line[0]}={line[1]}\n"


def _line(words: Sequence[str]) -> str:
    return " ".join(_quoted(word.replace("$", "$$")) for word in words)


def _quoted(text: str) -> str:
    """A text as one word for systemd, with `%` escaped."""
    text = text.replace("%", "%%")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
