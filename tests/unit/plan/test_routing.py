"""Routing batch functions: what they are called with, how a spec names them, and what is wrong with some."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.building.build_routing import build_routing_function
from common.building.dump import dump_routing
from common.errors import RunError, SpecFault, UsageError
from common.protocol.codec import Row
from common.routing import RoutingBatchFunction, choose_successors, routing_batch_function, sample_n_steps
from common.spec.spec import RoutingSpec
from tests.support.places import REPOSITORY
from tests.support.steps import sample_routing
from tests.support.steps.sample_routing import (
    by_length,
    by_topic,
    every,
    in_turn,
    made_here,
    nameless,
    one_of_them,
    the_third,
)

MODULE = "tests.support.steps.sample_routing"


def built(function: str, **options: Any) -> RoutingBatchFunction:
    routing = RoutingSpec.model_validate({"function": function, **options})
    return build_routing_function("load", routing, allow=["tests"])


def test_a_function_gets_the_successors_and_where_it_asks_for_it_the_number_of_the_batch() -> None:
    assert [in_turn(["a", "b"], seq=seq) for seq in range(3)] == [["a"], ["b"], ["a"]]
    assert the_third(["a", "b", "c"]) == ["c"]


def test_a_function_that_reads_rows_gets_them() -> None:
    assert by_topic(["sea", "land"], [{"topic": "land"}]) == ["land"]


def test_options_are_bound_by_name() -> None:
    second = every.bind(n=2, offset=1)
    assert [second(["a", "b"], seq=seq) for seq in range(2)] == [["a"], ["a", "b"]]
    with pytest.raises(UsageError, match="'every' has no option 'ofset'; did you mean 'offset'"):
        every.bind(ofset=1)


def test_sample_n_steps_chooses_alike_for_a_seed_and_a_batch_and_all_steps_in_the_long_run() -> None:
    one, other = sample_n_steps(2, seed=7), sample_n_steps(2, seed=8)
    chosen = [tuple(one("abc", seq=seq)) for seq in range(200)]
    assert chosen == [tuple(sample_n_steps(2, seed=7)("abc", seq=seq)) for seq in range(200)]
    assert chosen != [tuple(other("abc", seq=seq)) for seq in range(200)]
    assert all(len(set(names)) == 2 for names in chosen)
    assert {name for names in chosen for name in names} == set("abc")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "'n' must be a number of steps, 1 or more, not 0"),
        ({"n": True}, "'n' must be a number of steps, 1 or more, not True"),
        ({"n": "2"}, "'n' must be a number of steps, 1 or more, not '2'"),
        ({"n": 1, "seed": 0.5}, "'seed' must be a whole number, not 0.5"),
    ],
)
def test_sample_n_steps_takes_numbers(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sample_n_steps(**arguments)
    with pytest.raises(SpecFault, match=f"routing of 'load': sample_n_steps: {words}"):
        built("sample_n_steps", **arguments)


# in a spec


@pytest.mark.parametrize(
    ("function", "spec"),
    [
        (sample_n_steps(2), {"function": "sample_n_steps", "n": 2}),
        (sample_n_steps(n=2, seed=5), {"function": "sample_n_steps", "n": 2, "seed": 5}),
        (sample_n_steps(n=2, seed=0), {"function": "sample_n_steps", "n": 2}),
        (in_turn, {"function": f"{MODULE}:in_turn"}),
        (every.bind(n=3), {"function": f"{MODULE}:every", "n": 3}),
        (every.bind(n=3, offset=0), {"function": f"{MODULE}:every", "n": 3}),
        (by_length(20, column="title"), {"function": f"{MODULE}:by_length", "limit": 20, "column": "title"}),
        (made_here, {"function": f"{MODULE}:by_length", "limit": 9}),
        (one_of_them(4), {"function": "sample_n_steps", "n": 1, "seed": 4}),
    ],
)
def test_a_function_is_written_into_a_spec_and_found_by_it(
    function: RoutingBatchFunction, spec: dict[str, Any]
) -> None:
    assert dump_routing(function) == spec
    again = built(**spec)
    assert (dump_routing(again), again.reads_rows) == (spec, function.reads_rows)
    rows = [{"title": "a title of more than nine letters"} | {"text": "short"}]
    steps = ["a", "b", "c", "d"]
    assert again(steps, rows, seq=5) == function(steps, rows, seq=5)


def test_a_function_without_the_decorator_takes_the_options_of_the_spec() -> None:
    assert built(f"{MODULE}:plain")(["a", "b"]) == ["a"]
    assert built(f"{MODULE}:plain", last=True)(["a", "b"]) == ["b"]
    assert dump_routing(built(f"{MODULE}:plain", last=True)) == {"function": f"{MODULE}:plain", "last": True}


@pytest.mark.parametrize(("name", "options"), [("nameless", {}), ("made_here", {})])
def test_a_spec_may_name_any_function_that_a_module_has(name: str, options: dict[str, Any]) -> None:
    found = built(f"{MODULE}:{name}", **options)
    assert found.function is getattr(sample_routing, name).function
    assert dump_routing(found)["function"].startswith(MODULE)


def test_where_options_are_at_their_defaults_does_not_matter_to_the_spec() -> None:
    assert dump_routing(built("sample_n_steps", n=1, seed=0)) == dump_routing(built("sample_n_steps", n=1))
    assert dump_routing(built(f"{MODULE}:by_topic", column="topic")) == dump_routing(by_topic)


def test_the_code_of_a_function_of_the_users_is_identified_and_that_of_a_built_in_one_is_not() -> None:
    assert len(in_turn.digest()) == 16
    assert in_turn.digest() == by_length(3).digest() == built(f"{MODULE}:plain").digest()
    assert sample_n_steps(1).digest() == one_of_them(4).digest() == ""


def test_the_functions_that_the_documents_show_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = REPOSITORY / "docs" / "spec.md"
    (shown,) = re.findall(r"^```python routes\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "routes_that_are_shown.py").write_text(shown)
    monkeypatch.syspath_prepend(tmp_path)

    def choice(name: str, rows: list[Row] | None = None, seq: int = 0, **options: Any) -> list[str]:
        routing = RoutingSpec.model_validate({"function": f"routes_that_are_shown:{name}", **options})
        return build_routing_function("load", routing, allow=["*"])(["a", "b"], rows, seq=seq)

    assert [choice("in_turn", seq=seq, first=1) for seq in range(2)] == [["b"], ["a"]]
    assert choice("by_topic", [{"topic": "b"}, {"topic": "c"}]) == ["b"]
    assert [choice("by_length", [{"text": "x" * length}], limit=80) for length in (80, 81)] == [["a"], ["b"]]


# what cannot be written into a spec


def test_a_function_that_no_worker_can_import_says_so() -> None:
    @routing_batch_function()
    def inside(steps: list[str]) -> list[str]:
        return steps

    with pytest.raises(UsageError, match="is defined inside a function, where no worker can import it: define it at"):
        dump_routing(inside)
    with pytest.raises(UsageError, match="is a lambda, where no worker can import it: define it at the top level"):
        dump_routing(nameless)
    for made in (sample_routing.first_or("b"), sample_routing.silent_factory(1)):
        with pytest.raises(
            UsageError,
            match=r"<locals>.choose' is defined inside .* makes routing functions: def \w+\(\.\.\.\) -> Rout",
        ):
            dump_routing(made)


def test_a_function_typed_at_a_prompt_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(steps: list[str]) -> list[str]:
        return steps

    typed.__module__, typed.__qualname__ = "__main__", "typed"
    import __main__

    monkeypatch.setattr(__main__, "__spec__", None)
    monkeypatch.delattr(__main__, "__file__", raising=False)
    with pytest.raises(
        UsageError, match="'typed' is defined in a notebook or at a prompt, where no worker can import it"
    ):
        dump_routing(routing_batch_function()(typed))


def test_an_option_that_no_file_can_hold_says_so() -> None:
    with pytest.raises(UsageError, match=r"'every': the option 'n' holds a object, which a spec cannot hold"):
        dump_routing(every.bind(n=object()))


# what is not a routing function


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: routing_batch_function(lambda steps: steps), "write @routing_batch_function(), with parentheses"),
        (lambda: routing_batch_function()(lambda: ["a"]), "is called with (steps): write 'def route(steps)'"),
        (lambda: routing_batch_function(reads_rows=True)(lambda steps: steps), "is called with (steps, rows)"),
        (lambda: routing_batch_function()("a"), "'a' is not a routing function"),  # type: ignore[arg-type]
        (lambda: in_turn >> ["a"], "'in_turn' has no predecessor: write step >> in_turn >> [a, b]"),
        (lambda: ["a"] >> in_turn, "'in_turn' routes one step: write step >> in_turn >> [a, b]"),
        (lambda: made_here.bind(limit=3), "'by_length' already has its options: call it with others"),
    ],
)
def test_what_is_no_routing_function_is_refused_where_it_is_written(make: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert words in str(caught.value)


def test_a_function_cannot_be_asynchronous() -> None:
    async def route(steps: list[str]) -> list[str]:
        return steps

    with pytest.raises(UsageError, match="is not a routing function: write 'def route"):
        routing_batch_function()(route)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        ("sample_n_step", {}, "there is no function 'sample_n_step'; did you mean 'sample_n_steps'?"),
        ("sample_n_steps", {"n": 1, "sed": 4}, "'sample_n_steps' has no option 'sed'; did you mean 'seed'?"),
        (
            f"{MODULE}:in_turns",
            {},
            "has no function 'in_turns'; did you mean 'tests.support.steps.sample_routing:in_turn'?",
        ),
        (f"{MODULE}:Row", {}, "is not a routing function: write 'def route(steps)'"),
        (f"{MODULE}:RoutingBatchFunction", {}, "has no function 'RoutingBatchFunction'"),
        (
            "secret_module:route",
            {},
            "'secret_module:route' is not allowed here; to let this process import it: --allow",
        ),
        ("tests.unit.no_such_module:route", {}, "the module 'tests.unit.no_such_module' of"),
        (f"{MODULE}:", {}, "is not the name of a function; write module:function"),
        (f"{MODULE}:in_turn", {"n": 1}, "'in_turn' has no option 'n'"),
        (f"{MODULE}:every", {}, "'every' needs its option 'n'"),
        (f"{MODULE}:by_length", {}, "'by_length' needs its option 'limit'"),
        (f"{MODULE}:by_length", {"limit": 3, "colum": "a"}, "no option 'colum'; did you mean 'column'?"),
        (
            f"{MODULE}:with_rows",
            {},
            "'with_rows' needs its option 'rows' (to read the rows of a batch: @routing_batch_",
        ),
        (f"{MODULE}:no_steps", {}, "the routing function 'no_steps' is called with (steps): write 'def route(steps)'"),
        (f"{MODULE}:not_what_it_says", {}, "'not_what_it_says' returns ['a'], not a RoutingBatchFunction as it says"),
        (f"{MODULE}:silent_factory", {"n": 2}, "'silent_factory' has no option 'n'"),
        (f"{MODULE}:broken_factory", {"n": 2}, "sample_routing:broken_factory raised LookupError: no 2"),
        (f"{MODULE}:the_third", {}, "'the_third' needs 3 steps to choose from; only 2 come after 'load'"),
    ],
)
def test_a_wrong_function_in_a_spec_is_one_message(function: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises((SpecFault, UsageError)) as caught:
        built(function, **options).check("load", ["a", "b"])
    assert words in str(caught.value)


# choosing


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (["c"], "the routing function of step 'load' chose 'c' for batch 4; it must choose from ['a', 'b']"),
        ([], "the routing function of step 'load' chose nothing for batch 4; it must choose from ['a', 'b']"),
        ([None], "the routing function of step 'load' chose None for batch 4; it must choose from ['a', 'b']"),
        ("a", "the routing function of step 'load' raised: TypeError: it returned 'a', not a list of names"),
        (None, "the routing function of step 'load' raised: TypeError: it returned None, not a list of names"),
    ],
)
def test_a_choice_must_be_among_the_successors(chosen: Any, words: str) -> None:
    function = RoutingBatchFunction(lambda steps: chosen)
    with pytest.raises(RunError) as caught:
        choose_successors("load", function, ("a", "b"), 4)
    assert words in str(caught.value)


@pytest.mark.parametrize("error", [LookupError("no way"), SystemExit(3), KeyboardInterrupt()])
def test_a_function_that_raises_ends_in_words_with_the_place(error: BaseException) -> None:
    def route(steps: list[str]) -> list[str]:
        raise error

    with pytest.raises(RunError, match=r"step 'load' raised: \w+: .*test_routing.py:\d+") as caught:
        choose_successors("load", RoutingBatchFunction(route), ("a", "b"), 4)
    assert caught.value.__cause__ is error


def test_choices_come_in_the_order_of_the_successors_and_once() -> None:
    function = RoutingBatchFunction(lambda steps: ("b", "a", "b"))
    assert choose_successors("load", function, ("a", "b", "c"), 0) == ("a", "b")


def test_a_function_may_change_its_list() -> None:
    def route(steps: list[str]) -> list[str]:
        steps.clear()
        return ["a"]

    assert choose_successors("load", RoutingBatchFunction(route), ("a", "b"), 0) == ("a",)
