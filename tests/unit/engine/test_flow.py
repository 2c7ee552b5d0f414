"""Flow control: stage after stage, within every limit, and never stuck."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.protocol.batch import Batch, Chunk, Result
from common.settings import Settings
from coordinator.engine.flow import FlowControl
from coordinator.fold.batch_manager import BatchManager
from coordinator.fold.effects import Dispatch, Redo
from coordinator.plan.plan import Plan, StepPlan
from coordinator.plan.stages import SEQUENTIAL, LoadGroups, Stages, find_stages
from tests.support.fold.fold_executor import FoldExecutor
from tests.support.fold.fold_words import branch, done, generator, global_step, made, step
from tests.support.fold.sequential_interpreter import Program, interpret
from tests.support.fold.trouble import Conditions
from tests.unit.fold.test_batch_manager_properties import Pipeline, conditions, pipelines, seeds

TIGHT = Settings(dispatch_slack=1, step_backlog=1, payload_budget=1)
EXAMPLES = 4_000 if os.environ.get("PENSTOCK_HYPOTHESIS") == "deep" else 120


class Told:
    """A fold and its flow control, to which a test tells what happens."""

    def __init__(self, *steps: StepPlan, stages: Stages = ()) -> None:
        self.manager = BatchManager(Plan({one.name: one for one in steps}, stages))
        names = list(self.manager.steps)
        self.flow = FlowControl(self.manager, dict.fromkeys(names, 1), TIGHT, dict.fromkeys(names, 0))

    def __call__(self, *entries: Result) -> None:
        for entry in entries:
            for effect in self.manager.apply(entry):
                if isinstance(effect, Dispatch):
                    self.flow.plan(effect.batch)

    def send(self) -> list[str]:
        """Sends what is to be sent now: "g0", "g1", "a0"."""
        chosen = self.flow.choose({}, start_rows=True)
        for name, batches in chosen.items():
            self.flow.mark_sent(name, batches[-1].seq + 1)
        return [f"{batch.step}{batch.seq}" for batches in chosen.values() for batch in batches]


def test_a_step_gets_no_batch_before_its_stage_has_come() -> None:
    told = Told(generator(), step("a", "g"), stages=(("g",), ("a",)))
    assert told.send() == ["g0", "g1"]
    told(*made("g", 10, 10, last=False))
    assert told.flow.stage == 0
    assert told.flow.waiting("a") == 2
    assert told.send() == ["g2", "g3"]
    told(done("g", 2, 0, taken=0, last=True))
    assert told.flow.stage == 1
    assert told.send() == ["a0", "a1"]


def test_rows_that_wait_for_a_later_stage_hold_nothing_up() -> None:
    told = Told(generator(), step("a", "g"), step("b", "a", size=7), stages=(("g", "a"), ("b",)))
    for seq in range(50):
        sent = told.send()
        assert f"a{seq - 1}" in sent or seq == 0
        told(*made("g", *[10] * 50)[seq : seq + 1])
        told(*([done("a", seq - 1, 10)] if seq else []))
        assert told.manager.payload_bytes <= 100, "what waits for a stage is not counted"
    assert told.flow.stage == 0
    assert told.flow.waiting("b") > 60


def test_a_step_that_takes_from_two_stages_waits_for_the_later_one() -> None:
    told = Told(generator(), step("a", "g"), step("b", "g", "a"), stages=(("g",), ("a",), ("b",)))
    told.send()
    told(*made("g", 10))
    assert (told.flow.stage, told.send()) == (1, ["a0"])
    told(done("a", 0, 10))
    assert (told.flow.stage, told.send()) == (2, ["b0"])


def test_stages_without_rows_are_passed_over() -> None:
    told = Told(generator(), step("a", "g"), global_step("all", "a"), step("b", "all"))
    told(done("g", 0, 0, taken=0, last=True))
    assert told.flow.stage == 2, "the last one"
    assert told.send() == []


def test_the_stage_is_an_earlier_one_where_the_journal_has_lost_its_end() -> None:
    entries = made("g", 10)
    plan = (generator(), step("a", "g"))
    whole, cut = Told(*plan, stages=(("g",), ("a",))), Told(*plan, stages=(("g",), ("a",)))
    whole(*entries)
    assert whole.flow.stage == 1
    assert cut.flow.stage == 0


def test_a_full_broker_is_drained_within_the_stage() -> None:
    told = Told(generator(), step("a", "g"), step("b", "a"), step("c", "g"), stages=(("g", "a"), ("b", "c")))
    told(*made("g", 10, last=False))
    assert [*told.flow.choose_to_drain()] == ["a"]


def test_sources_wait_while_the_payload_store_is_over_its_budget() -> None:
    told = Told(generator(), step("a", "g"), step("b", "a"))
    told(Result("g", 0, 0, (Chunk(10, 100, "g/0-nonce"),)))
    told.flow.mark_sent("g", 1)
    settings = TIGHT.model_copy(update={"payload_budget": 1 << 30, "store_budget": 150, "step_backlog": 64})
    flow = FlowControl(told.manager, dict.fromkeys(told.manager.steps, 1), settings, {"g": 1, "a": 0, "b": 0})
    flow.plan(Batch("a", 0))
    assert set(flow.choose({}, start_rows=True)) == {"g", "a"}
    assert set(flow.choose({}, start_rows=True, released_bytes=50)) == {"a"}


def test_a_budget_that_is_used_up_does_not_hold_up_what_goes_to_the_file_store() -> None:
    told = Told(
        generator(), step("leaf", "g"), generator("h"), step("late", "h"), stages=(("g", "leaf", "h"), ("late",))
    )
    told(*made("g", 10, 10, 10, last=False))
    assert told.manager.payload_bytes > TIGHT.payload_budget
    assert "h0" in told.send()


def test_many_batches_of_a_branch_may_wait_for_a_global_step() -> None:
    """Each routed batch ends a span of its own, which does not mean that the global step could continue."""
    routed = generator(routed=True)
    told = Told(routed, step("a", "g", scope=branch("g", "a")), global_step("all", "a"))
    programs = {
        "g": Program([[seq] for seq in range(30)]),
        "a": Program(process=lambda inputs: inputs[0]),
        "all": Program(process=lambda inputs: inputs[0]),
    }
    executor = FlowExecutor(told.manager.plan, programs, TIGHT, Conditions()).run()
    assert executor.sink.leaves == {"all": list(range(30))}


class FlowExecutor(FoldExecutor):
    """A coordinator that sends what its flow control chooses."""

    def __init__(self, plan: Plan, programs: dict[str, Program], limits: Settings, there: Conditions) -> None:
        super().__init__(plan, programs, there)
        self.flow = FlowControl(self.manager, dict.fromkeys(plan.steps, 1), limits, dict.fromkeys(plan.steps, 0))
        self._chosen: dict[str, list[Batch]] = {}
        self._used: dict[str, int] = dict.fromkeys(plan.steps, 0)

    def _possible(self) -> dict[str, Callable[[], None]]:
        possible = super()._possible()
        if self.manager.halted is None and (chosen := self.flow.choose({}, start_rows=True)):
            self._chosen = chosen
            possible["send"] = self._send_chosen
        return possible

    def _ready(self) -> set[str]:
        return {name for name in super()._ready() if self.flow.sent[name] > self._used[name]}

    def _perform(self) -> None:
        effect = self._effects[0]
        if isinstance(effect, Dispatch):
            self.flow.plan(self._effects.pop(0).batch)  # type: ignore[union-attr]
            return
        if isinstance(effect, Redo) and self.manager.halted is None:
            assert self.plan.stage(effect.batch.step) == self.flow.stage, "done again in its own stage"
        super()._perform()

    def _generate(self) -> None:
        super()._generate()
        self._used[self.journal.entries[-1].step] += 1  # type: ignore[union-attr]

    def _send_chosen(self) -> None:
        before = [name for stage in self.plan.stages[: self.flow.stage] for name in stage]
        assert all(self.manager.steps[name].output_ended for name in before)
        for name, batches in self._chosen.items():
            assert name in self.plan.stages[self.flow.stage]
            if self.plan.steps[name].kind != "generator":
                for batch in batches:
                    self._send(batch)
            self.flow.mark_sent(name, batches[-1].seq + 1)


def some_groups(plan: Plan, random: Random) -> LoadGroups:
    """Neighbours in the order of the pipeline, which may always be loaded at once; or each step alone; or none."""
    match random.randrange(4):
        case 0:
            return None
        case 1:
            return SEQUENTIAL
    groups: list[list[str]] = [[]]
    for step_plan in plan.steps.values():
        if step_plan.kind == "global" or random.random() < 0.3:
            groups.append([])
        elif random.random() < 0.7:
            groups[-1].append(step_plan.name)
        else:
            groups.append([step_plan.name])
    return [group for group in groups if group and random.random() < 0.7]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(pipelines(), seeds, st.booleans())
@pytest.mark.timeout(3_600)
def test_whatever_the_stages_and_limits_a_run_gets_to_its_end(pipeline: Pipeline, seed: int, broken: bool) -> None:
    random = Random(seed)
    before = {one.name: one.predecessors for one in pipeline.plan.steps.values()}
    global_steps = [one.name for one in pipeline.plan.steps.values() if one.kind == "global"]
    plan = Plan(pipeline.plan.steps, find_stages(before, global_steps, some_groups(pipeline.plan, random)))
    expected = interpret(plan, pipeline.programs)
    limits = random.choice((TIGHT, Settings(dispatch_slack=2, step_backlog=3, payload_budget=200), Settings()))
    executor = FlowExecutor(
        plan,
        pipeline.programs,
        limits,
        conditions(pipeline, seed, broken=broken),
    ).run()
    assert executor.sink.leaves == expected.leaves | {leaf: [] for leaf in executor.workers.given_up}
    assert executor.flow.stage == len(plan.stages) - 1
