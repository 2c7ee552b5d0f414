"""A step that needs what is not installed, for specs of tests."""

from __future__ import annotations

from common.steps import Step, StepInput, StepOutput, requirements


@requirements(["penstock-nothing>=2", "pydantic>=2"])
class Needy(Step):
    """Never gets to its rows."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs
