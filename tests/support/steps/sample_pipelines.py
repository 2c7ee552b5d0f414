"""Pipelines of the sample steps, built in one line, for tests of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.building.build import build_steps
from common.building.build_routing import build_routing
from common.errors import SpecFault
from common.spec.spec import PipelineSpec
from coordinator.plan.dag import build_plan
from coordinator.plan.plan import Plan

Steps = dict[str, dict[str, Any]]

LOAD = {"type": "Load"}


def plan(steps: Steps, **more: Any) -> Plan:
    """The plan of steps whose types are names of `sample_steps`; `more` are further keys of the spec."""
    own = {name: step | {"type": f"tests.support.steps.sample_steps:{step['type']}"} for name, step in steps.items()}
    spec = PipelineSpec.from_dict({"name": "demo", "steps": own, **more})
    steps_built = build_steps(spec, allow=["tests"], base_dir=Path("/"))
    return build_plan(spec, steps_built, build_routing(spec, allow=["tests"]))


def fault(steps: Steps, **more: Any) -> SpecFault:
    """What is said about steps of which no plan can be made."""
    with pytest.raises(SpecFault) as caught:
        plan(steps, **more)
    return caught.value
