"""Where the models in a step are, and that all callers find the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, Never, Protocol, TypedDict, TypeVar

import pytest
from pydantic import BaseModel, Field, JsonValue

from common.building.components import Holds, components, held_by, models_in, retry_policy
from common.building.cuda import CudaDevicePlacementMixin, devices_wanted
from common.building.descriptor import component_classes, endpoints, model_identities
from common.errors import RowError, UsageError
from common.llms import EchoLLM
from common.llms.base import LLM
from common.llms.embeddings import EchoEmbeddings, Embeddings
from common.steps import LoadDataFromDicts, Step, StepInput, StepOutput
from common.steps.base import StepResources
from coordinator.dataset.card import collect_citations
from coordinator.plan.host_check import check_host
from coordinator.plan.load import prepare

T = TypeVar("T")


class Member(EchoLLM, CudaDevicePlacementMixin):
    """Identifies itself by its name."""

    final_errors: ClassVar[tuple[type[Exception], ...]] = (RowError,)
    citations: ClassVar[tuple[str, ...]] = ("@misc{member}",)

    called: str = "member"

    @property
    def model_name(self) -> str:
        return self.called

    @property
    def served_at(self) -> str:
        return f"http://{self.called}"

    def check_here(self) -> None:
        raise UsageError(f"{self.called} lacks a key")


class Encoder(EchoEmbeddings, CudaDevicePlacementMixin):
    """The same, of texts."""

    final_errors: ClassVar[tuple[type[Exception], ...]] = (RowError,)
    citations: ClassVar[tuple[str, ...]] = ("@misc{member}",)

    @property
    def model_name(self) -> str:
        return "member"

    @property
    def served_at(self) -> str:
        return "http://member"

    def check_here(self) -> None:
        raise UsageError("member lacks a key")


class Router(EchoLLM):
    inner: LLM | None = None


class Options(BaseModel):
    judge: LLM | None = None


class Asks(Step):
    llm: LLM | None = None
    embeddings: Embeddings | None = None
    encoders: dict[str, Embeddings] = {}
    several: list[LLM] = []
    named: dict[str, LLM] = {}
    panels: list[dict[str, LLM]] = []
    options: Options = Options()
    anything: Any = None

    def process(self, inputs: StepInput) -> StepOutput:
        yield inputs


PLACES = [
    ({"llm": Member()}, ("llm",)),
    ({"embeddings": Encoder()}, ("embeddings",)),
    ({"encoders": {"a": EchoEmbeddings(), "b": Encoder()}}, ("encoders", "b")),
    ({"anything": [Encoder()]}, ("anything", 0)),
    ({"several": [EchoLLM(), Member()]}, ("several", 1)),
    ({"named": {"a": Member()}}, ("named", "a")),
    ({"panels": [{"a": Member()}]}, ("panels", 0, "a")),
    ({"options": Options(judge=Member())}, ("options", "judge")),
    ({"llm": Router(inner=Member())}, ("llm", "inner")),
    ({"several": [Router(inner=Router(inner=Member()))]}, ("several", 0, "inner", "inner")),
    ({"anything": {"a": [EchoLLM(), Member()]}}, ("anything", "a", 1)),
]


@pytest.mark.parametrize(("parameters", "place"), PLACES, ids=[".".join(map(str, place)) for _, place in PLACES])
def test_a_model_is_found_wherever_it_is_in_a_step_by_everyone_who_asks(
    parameters: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    step = Asks(name="ask", **parameters)
    assert [found for found, llm in models_in(step) if isinstance(llm, Member | Encoder)] == [place]
    assert {Member, Encoder} & component_classes(step)
    assert "member" in model_identities(step)
    assert "http://member" in endpoints({"ask": step})["ask"]
    assert retry_policy(step).final == (RowError,)
    assert collect_citations([step]) == ("@misc{member}",)
    assert devices_wanted(step) == 1


@pytest.mark.parametrize(
    "llm",
    [
        "several: [{type: 'tests.unit.building.test_components:Member'}]",
        "llm: {type: 'tests.unit.building.test_components:Router', "
        "inner: {type: 'tests.unit.building.test_components:Member'}}",
        "embeddings: {type: 'tests.unit.building.test_components:Encoder'}",
    ],
)
def test_what_a_host_lacks_for_a_model_in_a_list_or_in_another_model_is_found_before_a_run(
    tmp_path: Path, llm: str
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: demo\nsteps:\n  load: {type: LoadDataFromDicts, data: [{text: a}]}\n"
        f"  ask: {{type: 'tests.unit.building.test_components:Asks', after: load, {llm}}}\n"
    )
    with pytest.raises(UsageError, match=r"spec\.yaml:4: step 'ask': member lacks a key"):
        check_host(prepare(spec, allow=["tests"]))


class Untouchable(dict[str, Any]):
    """A row that must not be looked into."""

    def values(self) -> Never:  # type: ignore[override]
        raise AssertionError("a row was looked into")

    items = values  # type: ignore[assignment]


def test_rows_are_not_looked_into() -> None:
    step = LoadDataFromDicts(name="load", data=[{"a": 1}])
    step.data = [Untouchable(a=1)]
    assert list(components(step)) == [((), step), (("resources",), step.resources)]
    assert component_classes(step) == {LoadDataFromDicts, StepResources}
    assert model_identities(step) == []
    assert devices_wanted(step) == 0
    asks = Asks(name="ask", anything=[Untouchable(a=1), Member()])
    assert [place for place, _ in models_in(asks)] == [("anything", 1)]


class Judge(Protocol):
    def score(self) -> float: ...


class Row(TypedDict):
    text: str
    vector: list[float]


class Panel(TypedDict):
    judge: LLM


class Node(TypedDict):
    text: str
    children: list[Node]


class Empty(TypedDict): ...


class Tool(Generic[T]): ...


@pytest.mark.parametrize(
    ("annotation", "holds"),
    [
        (str, Holds.NO_MODEL),
        (str | None, Holds.NO_MODEL),
        (list[list[float]], Holds.NO_MODEL),
        (tuple[int, ...], Holds.NO_MODEL),
        (Literal["a"], Holds.NO_MODEL),
        (dict[str, Path | datetime], Holds.NO_MODEL),
        (Annotated[list[int], Field(min_length=1)] | None, Holds.NO_MODEL),
        (list[Row], Holds.NO_MODEL),
        (list[Node], Holds.NO_MODEL),
        (Empty, Holds.NO_MODEL),
        (Any, Holds.ANYTHING),
        (object, Holds.ANYTHING),
        (list, Holds.ANYTHING),
        (Mapping, Holds.ANYTHING),
        (list[dict[str, Any]], Holds.ANYTHING),
        (JsonValue, Holds.ANYTHING),
        (T, Holds.ANYTHING),
        (LLM, Holds.MODELS),
        (LLM | str, Holds.MODELS),
        (Sequence[dict[str, LLM]], Holds.MODELS),
        (list[Panel], Holds.MODELS),
        (list[Judge], Holds.MODELS),
        (Tool[int], Holds.MODELS),
        (Annotated[dict[str, Options], "why"], Holds.MODELS),
    ],
    ids=str,
)
def test_a_field_says_by_its_annotation_whether_models_may_be_in_it(annotation: object, holds: Holds) -> None:
    assert held_by(annotation) is holds
