"""Which changes make another run, and which apply to the existing run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from pydantic import BaseModel, Field

from common.broker.runs import RunRecord
from common.building.descriptor import step_digest
from common.building.signature import Identity, run_signature
from common.code.source import Sources
from common.errors import CannotServe
from common.llms import EchoLLM
from common.llms.base import LLM
from common.naming.plain_data import dump_value
from common.settings import Settings
from common.steps.loading.data import rows_digest
from coordinator.plan.load import prepare
from coordinator.plan.pipeline_options import pipeline_options
from coordinator.plan.routing import Routing
from tests.support.steps.sample_steps import Upper
from worker.life.assembly import Assembly, Place

SPEC = """\
    name: demo
    description: what it is for
    steps:
      load: {type: "tests.support.steps.sample_steps:LoadFile", path: data.txt, batch_size: 10}
      up: {type: "tests.support.steps.sample_steps:Upper", after: load, words: {a: 1}, resources: {replicas: 2}}
      side: {type: "tests.support.steps.sample_steps:Upper", after: load}
      ask:
        type: TextGeneration
        after: up
        input_mappings: {instruction: text}
        llm: {type: OpenAILLM, model: m}
    """


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data of the spec; what is put on `sys.path` for it is taken off again."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "data.txt").write_text("first")
    (tmp_path / "spec.yaml").write_text(dedent(SPEC))
    return tmp_path


def signature(folder: Path, overrides: Sequence[str] = (), **options: object) -> str:
    prepared = prepare(folder / "spec.yaml", overrides, allow=["tests"])
    return run_signature(prepared.spec, prepared.steps, prepared.routing, options)


@pytest.mark.parametrize(
    "override",
    [
        "load.batch_size=11",
        "load.columns=[text, more]",
        "up.words.a=2",
        "up.input_batch_size=3",
        "up.on_error=fail",
        "up.skip_when='text is none'",
        "up.max_failure_rate=0.1",
        "up.output_mappings={upper: loud}",
        "up.type='tests.support.steps.sample_steps:Optional'",
        "ask.after=side",
        "ask.llm.model=other",
        "ask.llm.endpoint_identity=another",
        "ask.llm.generation_kwargs={max_tokens: 5}",
    ],
)
def test_what_changes_the_rows_changes_the_signature(folder: Path, override: str) -> None:
    assert signature(folder, [override]) != signature(folder)


@pytest.mark.parametrize(
    "override",
    [
        "up.resources.replicas=5",
        "up.retries=9",
        "up.backoff=[1, 2]",
        "up.max_deliveries=9",
        "up.lowercase=false",
        "up.input_batch_size=50",
        "ask.concurrency=3",
        "ask.llm.timeout=3",
        "ask.llm.max_retries=9",
        "ask.llm.api_key_env=OTHER_KEY",
        "ask.llm.base_url='https://elsewhere/v2'",
    ],
)
def test_what_does_not_change_the_rows_leaves_the_signature(folder: Path, override: str) -> None:
    assert signature(folder, [override]) == signature(folder)


class Router(EchoLLM):
    inner: LLM | None = Field(default=None, alias="asks")
    members: list[LLM] = []


class Judge(BaseModel):
    llm: LLM | None = None


class Asks(Upper):
    llm: LLM | None = Field(default=None, alias="asks")
    several: list[LLM] = []
    named: dict[str, LLM] = {}
    panels: list[dict[str, LLM]] = []
    judge: Judge = Judge()
    examples: list[dict[str, Any]] = []


ROUTER = "tests.unit.building.test_signature:Router"


@pytest.mark.parametrize("is_here", [True, False], ids=["here", "elsewhere"])
@pytest.mark.parametrize(
    "where",
    [
        "asks: LLM",
        "several: [LLM]",
        "named: {a: LLM}",
        "panels: [{a: LLM}]",
        "judge: {llm: LLM}",
        f"asks: {{type: '{ROUTER}', asks: LLM}}",
        f"several: [{{type: '{ROUTER}', members: [{{type: '{ROUTER}', asks: LLM}}]}}]",
    ],
)
def test_where_a_model_is_does_not_count_wherever_it_is_held_and_what_names_it_does(
    folder: Path, where: str, is_here: bool
) -> None:
    step = "tests.unit.building.test_signature:Asks" if is_here else "nowhere_of_test:Asks"

    def signed(**options: object) -> str:
        llm = json.dumps({"type": "OpenAILLM", "model": "m", "base_url": "http://a/v1", **options})
        (folder / "spec.yaml").write_text(
            "name: demo\nsteps:\n  load: {type: LoadDataFromDicts, data: [{text: a}]}\n"
            f"  ask: {{type: '{step}', after: load, {where.replace('LLM', llm)}}}\n"
        )
        prepared = prepare(folder / "spec.yaml", allow=["tests"], external=True)
        assert set(prepared.undescribed) == (set() if is_here else {"ask"})
        return run_signature(prepared.spec, prepared.steps, prepared.routing, {})

    before = signed()
    assert signed(base_url="http://b/v1", timeout=3, max_retries=9, api_key_env="OTHER") == before
    assert signed(model="another") != before


@pytest.mark.parametrize("step", ["tests.unit.building.test_signature:Asks", "nowhere_of_test:Asks"])
def test_columns_of_rows_count_whatever_they_are_called(folder: Path, step: str) -> None:
    def signed(timeout: int) -> str:
        (folder / "spec.yaml").write_text(
            "name: demo\nsteps:\n  load: {type: LoadDataFromDicts, data: [{text: a}]}\n"
            f"  ask: {{type: '{step}', after: load, examples: [{{type: x, timeout: {timeout}}}]}}\n"
        )
        prepared = prepare(folder / "spec.yaml", allow=["tests"], external=True)
        return run_signature(prepared.spec, prepared.steps, prepared.routing, {})

    assert signed(1) != signed(2)


def test_a_step_with_many_rows_is_signed_in_little_more_time_than_its_rows_are_read(folder: Path) -> None:
    (folder / "spec.yaml").write_text("name: demo\nsteps:\n  load: {type: LoadDataFromDicts, data: [{n: 1}]}\n")
    prepared = prepare(folder / "spec.yaml")
    rows = [{f"c{column}": column for column in range(10)} for _ in range(5_000)]
    prepared.steps["load"].data = rows  # type: ignore[attr-defined]

    def cpu_seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    def sign() -> None:
        run_signature(prepared.spec, prepared.steps, prepared.routing, {})

    assert min(cpu_seconds(sign) for _ in range(3)) < 6 * min(cpu_seconds(lambda: rows_digest(rows)) for _ in range(3))


@pytest.mark.parametrize("value", [10**5_000, float("nan"), object()], ids=["huge", "nan", "object"])
def test_what_no_spec_can_hold_is_not_dumped(value: object) -> None:
    with pytest.raises(ValueError):
        dump_value([{"cell": value}])


def test_data_that_changed_behind_a_generator_changes_the_signature(folder: Path) -> None:
    before = signature(folder)
    (folder / "data.txt").write_text("second")
    assert signature(folder) != before


def test_an_option_that_changes_the_rows_changes_the_signature(folder: Path) -> None:
    assert signature(folder, limit=10) != signature(folder)
    assert signature(folder, limit=None) == signature(folder)


def test_routing_changes_the_signature(folder: Path) -> None:
    before = signature(folder)
    path = folder / "spec.yaml"
    path.write_text(path.read_text() + "routing: {load: {function: sample_n_steps, n: 1}}\n")
    one = signature(folder)
    path.write_text(path.read_text().replace("n: 1", "n: 2"))
    assert len({before, one, signature(folder)}) == 3
    path.write_text(path.read_text().replace("n: 2", "n: 1, seed: 0"))
    assert signature(folder) == one


def test_the_code_of_a_routing_function_changes_the_signature(folder: Path) -> None:
    file = folder / "routes_of_signature_test.py"
    file.write_text("def route(steps, last=False):\n    return steps[-1:] if last else steps[:1]\n")
    path = folder / "spec.yaml"
    path.write_text(path.read_text() + "routing: {load: {function: 'routes_of_signature_test:route'}}\n")
    try:
        before = signature(folder)
        assert signature(folder) == before
        path.write_text(path.read_text().replace("route'}", "route', last: true}"))
        last = signature(folder)
        file.write_text(file.read_text() + "# changed\n")
        assert len({before, last, signature(folder)}) == 3
    finally:
        sys.modules.pop("routes_of_signature_test", None)


def test_the_description_does_not_change_the_signature(folder: Path) -> None:
    before = signature(folder)
    path = folder / "spec.yaml"
    path.write_text(path.read_text().replace("what it is for", "something else"))
    assert signature(folder) == before


OWN_CODE = """\
    from common.llms.echo import EchoLLM
    from tests.support.steps.sample_steps import Upper
    class {step}(Upper): pass
    class {llm}(EchoLLM): pass
    """


@pytest.mark.parametrize(
    "override", ["up.type='steps_of_signature_test:Mine'", "ask.llm={type: steps_of_signature_test:My}"]
)
def test_the_code_of_a_step_and_of_its_llm_changes_the_signature(folder: Path, override: str) -> None:
    file = folder / "steps_of_signature_test.py"
    file.write_text(dedent(OWN_CODE).format(step="Mine", llm="My"))
    try:
        before = signature(folder, [override])
        assert signature(folder, [override]) == before
        file.write_text(file.read_text() + "# changed\n")
        assert signature(folder, [override]) != before
    finally:
        sys.modules.pop("steps_of_signature_test", None)


def test_a_module_that_a_step_imports_changes_the_signature(folder: Path) -> None:
    (folder / "steps_of_helper_test.py").write_text(
        "from tests.support.steps.sample_steps import Upper\n"
        "from prompts_of_test import PROMPT\nclass Mine(Upper): pass\n"
    )
    prompts = folder / "prompts_of_test.py"
    prompts.write_text("PROMPT = 'old'")
    try:
        before = signature(folder, ["up.type='steps_of_helper_test:Mine'"])
        prompts.write_text("PROMPT = 'new'")
        assert signature(folder, ["up.type='steps_of_helper_test:Mine'"]) != before
    finally:
        for module in ("steps_of_helper_test", "prompts_of_test"):
            sys.modules.pop(module, None)


def test_workers_are_held_to_the_code_that_the_run_was_signed_with(folder: Path) -> None:
    prompts = folder / "prompts_of_start_test.py"
    prompts.write_text("PROMPT = 'old'")
    (folder / "steps_of_start_test.py").write_text(
        "from tests.support.steps.sample_steps import Upper\n"
        "from prompts_of_start_test import PROMPT\nclass Mine(Upper): pass\n"
    )
    try:
        prepared = prepare(folder / "spec.yaml", ["up.type='steps_of_start_test:Mine'"], allow=["tests"])
        signed = step_digest(prepared.steps["up"])
        sources = Sources()
        Identity.of(prepared.spec, prepared.steps, prepared.routing, {}, sources=sources)
        prompts.write_text("PROMPT = 'new'")
        assert pipeline_options(prepared, Routing(prepared), sources).digests["up"] == signed
        assert step_digest(prepared.steps["up"]) != signed
    finally:
        for module in ("steps_of_start_test", "prompts_of_start_test"):
            sys.modules.pop(module, None)


MODEL_OF_THE_ENVIRONMENT = """\
    import os
    from common.llms.echo import EchoLLM
    class Named(EchoLLM):
        @property
        def model_name(self): return os.environ["MODEL_OF_THE_TEST"]
    """


def test_what_names_the_model_is_in_the_signature_wherever_it_comes_from_and_binds_workers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "llms_of_signature_test.py").write_text(dedent(MODEL_OF_THE_ENVIRONMENT))
    override = "ask.llm={type: llms_of_signature_test:Named}"

    def assembly() -> Assembly:
        prepared = prepare(folder / "spec.yaml", [override], allow=["tests"])
        options = pipeline_options(prepared, Routing(prepared))
        record = RunRecord("r", "demo", "", "running", "", prepared.spec.dump(), options, 0, "")
        return Assembly(record, "ask", Settings(), Place(allow=["llms_of_signature_test"]))

    try:
        monkeypatch.delenv("MODEL_OF_THE_TEST", raising=False)
        unknown = signature(folder, [override])
        monkeypatch.setenv("MODEL_OF_THE_TEST", "one")
        one, of_one = signature(folder, [override]), assembly()
        of_one.build()
        monkeypatch.setenv("MODEL_OF_THE_TEST", "two")
        assert len({unknown, one, signature(folder, [override])}) == 3
        with pytest.raises(CannotServe, match=r"would call another model than the coordinator \(two, not one"):
            of_one.build()
    finally:
        sys.modules.pop("llms_of_signature_test", None)


@pytest.mark.parametrize("name", ["source", "data", "models"])
def test_a_parameter_may_be_called_as_the_signature_calls_something_else(folder: Path, name: str) -> None:
    (folder / "names_of_signature_test.py").write_text(
        f"from tests.support.steps.sample_steps import Upper\nclass Mine(Upper):\n    {name}: str = 'x'\n"
    )
    try:
        found = {
            signature(folder, ["up.type='names_of_signature_test:Mine'", f"up.{name}={value}"]) for value in ("a", "b")
        }
        assert len(found) == 2
    finally:
        sys.modules.pop("names_of_signature_test", None)


def test_the_signature_is_the_same_in_every_process(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from common.building.signature import run_signature;"
        "from coordinator.plan.load import prepare; p = prepare(Path(sys.argv[1]), allow=['tests']);"
        "print(run_signature(p.spec, p.steps, p.routing, {}))"
    )
    command = [sys.executable, "-c", code, str(folder / "spec.yaml")]
    found = {
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {signature(folder) + "\n"}
