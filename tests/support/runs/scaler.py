"""Plays KEDA and the kubelet for rendered manifests: workers come and go as the triggers of their ScaledObjects say."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from tests.support.runs.harness import Command, Harness

COOLDOWN = 1.0
"""Seconds, in the place of `cooldownPeriod`."""


def on_this_host(words: list[str], folder: Path) -> list[str]:
    """The arguments of a container, with the folders of this host in the place of its mounts."""
    mounts = {"/work": str(folder), "/output": str(folder / "output")}
    return [
        next((here + word[len(path) :] for path, here in mounts.items() if word.startswith(path)), word)
        for word in words
    ]


@dataclass
class Scaler:
    """Scales the workers of rendered manifests.

    Args:
        most: workers of each Deployment that there were at once.
        ended: workers that have left, told to or not.
        knows_lag: whether the server (Redis 7 or newer) says how many entries no worker has.
    """

    harness: Harness
    url: str
    manifests: list[dict[str, Any]]
    workers: dict[str, list[Command]] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    ended: list[Command] = field(default_factory=list)
    knows_lag: bool = False
    _idle_since: dict[str, float] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)

    def look(self) -> None:
        """One round of KEDA's poll."""
        with redis.Redis.from_url(self.url) as client:
            for one in self.manifests:
                if one["kind"] == "ScaledObject":
                    self._scale(one["metadata"]["name"], one["spec"], client)

    def _scale(self, name: str, spec: dict[str, Any], client: redis.Redis) -> None:
        there = self.workers.setdefault(name, [])
        self.ended += [worker for worker in there if worker.process.poll() is not None]
        there[:] = [worker for worker in there if worker.process.poll() is None]
        lag, length = (trigger["metadata"] for trigger in spec["triggers"])
        waiting, entries = self._lag(client, lag), int(client.xlen(length["stream"]))
        if waiting > int(lag["activationLagCount"]) or entries > 0:
            self._idle_since.pop(name, None)
            calls = max(waiting / int(lag["lagCount"]), entries / int(length["streamLength"]))
            wanted = min(max(1, math.ceil(calls), len(there)), spec["maxReplicaCount"])
        elif time.monotonic() - self._idle_since.setdefault(name, time.monotonic()) > COOLDOWN:
            wanted = spec["minReplicaCount"]
        else:
            wanted = len(there)
        for worker in there[wanted:]:
            if worker.process.pid not in self._told:  # a second signal would not let it finish
                worker.process.terminate()
                self._told.add(worker.process.pid)
        there += [self._start(name) for _ in range(wanted - len(there))]
        self.most[name] = max(self.most.get(name, 0), len(there))

    def _start(self, name: str) -> Command:
        (deployment,) = (
            one for one in self.manifests if one["kind"] == "Deployment" and one["metadata"]["name"] == name
        )
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        words = on_this_host(container["args"], self.harness.folder)
        return self.harness.start(*words, BROKER_URL=self.url)

    def _lag(self, client: redis.Redis, trigger: dict[str, str]) -> int:
        """As KEDA asks for it: 0 where there is no stream yet, or the server does not know."""
        try:
            groups = client.xinfo_groups(trigger["stream"])
        except redis.ResponseError:
            return 0
        (group,) = (group for group in groups if group["name"].decode() == trigger["consumerGroup"])
        self.knows_lag |= "lag" in group
        return group.get("lag") or 0
