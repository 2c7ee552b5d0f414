"""What happens to a run, drawn from a seed: its pipeline, its hosts, and what goes wrong when."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

ENDPOINT_URL = "http://endpoint/v1"
"""Stands in the specs for the endpoint of a scenario."""
CONCURRENCY = 4
"""Calls in flight of each worker that asks the endpoint."""
LARGEST_BATCH = 17
PIPELINES = 12
"""Pipelines that seeds choose from; each is run once without a fault, to know what it gives."""
Topology = Literal["embedded", "local", "external"]
"""The command's own broker and workers; its own workers at a broker beside it; workers that are started by hand."""

EVERYWHERE = (
    "worker killed",
    "worker killed with its keeper",
    "keeper killed",
    "worker stopped past its lease",
    "coordinator killed",
    "coordinator stopped past its lease",
    "second coordinator",
    "Ctrl-C",
    "broker killed",
    "broker full",
    "disk full",
    "batch claimed by a stranger",
    "batch sent twice",
)
ENDPOINT = (
    "endpoint killed",
    "endpoint busy",
    "endpoint busy, with a pause",
    "endpoint slow",
    "endpoint fails on some rows",
    "endpoint resets connections",
)
LOCAL = ("supervisor killed", "guardian killed")
BROKER_BESIDE = ("connections cut", "connections slow", "broker without its last second")
EXTERNAL = ("worker of another protocol", "worker of another source")
KINDS = EVERYWHERE + ENDPOINT + LOCAL + BROKER_BESIDE + EXTERNAL


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A spec, and the rows that fail in it.

    Args:
        steps: names, in order.
        bad: step -> the numbers of its poisoned rows.
    """

    number: int
    spec: str
    steps: tuple[str, ...]
    bad: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Args:
        at: share of the journal that is written when it happens, 0 to 1.
        step: whose workers or batches it concerns, where it concerns one.
        seconds: how long it lasts, where it lasts.
    """

    kind: str
    at: float
    step: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was brought about.

    Args:
        since, until: when; in seconds of the monotonic clock, which all processes of a host share.
        step: whose worker or batches it hit; empty where it concerns none, or all.
    """

    fault: Fault
    since: float
    until: float
    step: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run of the suite.

    Args:
        replicas: step -> workers.
        faults: in the order of `at`.
    """

    seed: int
    pipeline: Pipeline
    topology: Topology
    replicas: dict[str, int]
    faults: tuple[Fault, ...]


def draw_pipeline(number: int) -> Pipeline:
    """One of the pipelines, always the same for a number."""
    random = Random(f"pipeline {number}")
    rows = random.randint(120, 220)
    routed = ("rows", "sample", "")[number % 3]
    branches = ("land", "sea", "air")[: random.randint(2, 3)]
    bad = {
        "label": tuple(sorted(random.sample(range(rows), random.randint(1, 4)))),
        "sea": tuple(sorted(random.sample(range(rows), 3))),
    }

    def step(name: str, kind: str, after: str, seconds: float, more: str = "") -> str:
        size = random.randint(4, LARGEST_BATCH)
        pace = f", seconds: {seconds}" if seconds else ""
        # A batch that a stranger took has had two more workers; one that is killed repeatedly is not poison.
        more += ", max_deliveries: 20"
        return f'  {name}: {{type: "{kind}", after: {after}, input_batch_size: {size}{pace}{more}}}'

    def poison(name: str) -> str:
        return f", bad: {list(bad[name])}, retries: 0, max_failure_rate: 1.0"

    lines = [
        f"name: chaos-{number}",
        "steps:",
        f'  count: {{type: "chaos_steps:Numbers", rows: {rows}, batch_size: {random.randint(5, 15)}, seconds: 0.05}}',
        step("label", "chaos_steps:Label", "count", 0.05, poison("label")),
        step("land", "chaos_steps:Label", "label", 0.05),
        step("sea", "chaos_steps:LabelAsync", "label", 0.05, poison("sea")),
    ]
    names = ["count", "label", "land", "sea"]
    if "air" in branches:
        lines.append(step("air", "chaos_steps:Some", "label", 0.02))
        names.append("air")
    if routed:
        lines.append(step("all", "chaos_steps:Together", f"[{', '.join(random.sample(branches, len(branches)))}]", 0))
        names.append("all")
    # Without retries: an attempt that an outage used up would be a failed row.
    llm = f'{{type: OpenAILLM, model: m, base_url: "{ENDPOINT_URL}"}}'
    more = f", input_mappings: {{instruction: text}}, concurrency: {CONCURRENCY}, retries: 0, llm: {llm}"
    lines.append(step("ask", "TextGeneration", "all" if routed else "land", 0, more))
    names.append("ask")
    last = "ask"
    if random.random() < 0.7:
        lines.append(step("twice", "chaos_steps:Twice", last, 0.02))
        names.append("twice")
        last = "twice"
    if random.random() < 0.6:
        lines += [step("back", "chaos_steps:Backwards", last, 0.5), step("end", "chaos_steps:Label", "back", 0.05)]
        names += ["back", "end"]
    lines.append(f"  keep: {{type: KeepColumns, after: {last}, columns: [n, via, generation]}}")
    names.append("keep")
    if routed == "rows":
        lines += ["routing:", '  label: {function: "chaos_steps:by_rows"}']
    if routed == "sample":
        lines += ["routing:", f"  label: {{function: sample_n_steps, n: {random.randint(1, len(branches))}}}"]
    return Pipeline(number, "\n".join(lines) + "\n", tuple(names), bad)


def draw(seed: int) -> Scenario:
    """The scenario of a seed, always the same one."""
    random = Random(f"scenario {seed}")
    pipeline = draw_pipeline(random.randrange(PIPELINES))
    topology: Topology = random.choice(("embedded", "local", "external", "external"))
    kinds = list(EVERYWHERE)
    if topology != "external":
        kinds += LOCAL
    if topology != "embedded":
        kinds += BROKER_BESIDE
    if topology == "external":
        kinds += EXTERNAL
    faults = [
        Fault(
            kind,
            at=round(random.uniform(0.02, 0.9), 2),
            step=random.choice(pipeline.steps),
            seconds=round(random.uniform(1.5, 3.0), 1),
        )
        for kind in random.sample(kinds, random.randint(2, 5)) + random.sample(ENDPOINT, random.randint(1, 3))
    ]
    return Scenario(
        seed,
        pipeline,
        topology,
        replicas={step: random.randint(1, 2 if topology == "external" else 3) for step in pipeline.steps},
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )
