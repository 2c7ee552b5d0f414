"""Messages <-> the bytes of a stream entry: every kind comes back as it was; all else is refused with a message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import WireError
from common.protocol.batch import (
    Batch,
    Chunk,
    DeadLetter,
    Entry,
    Failure,
    Input,
    PartWritten,
    Payload,
    Reopened,
    Result,
    Routed,
    Slice,
)
from common.protocol.checks import GREATEST_COUNT
from common.protocol.step_name import STEP_NAME
from common.protocol.usage import Counts, Usage
from common.protocol.wire import (
    ERROR_LIMIT,
    FILE_NAME,
    MESSAGE_LIMIT,
    PROTOCOL,
    decode_batch,
    decode_entry,
    decode_letters,
    decode_pointer,
    encode_batch,
    encode_entry,
    encode_letter,
    encode_letters,
    encode_pointer,
    is_pointer,
    message_of,
)

names = st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
steps = st.from_regex(STEP_NAME, fullmatch=True)
files = st.from_regex(FILE_NAME, fullmatch=True)
counts = st.integers(0, GREATEST_COUNT)
externals = st.one_of(st.none(), files)
errors = st.text(alphabet=st.characters(codec="utf-8"), max_size=200)
counted = st.builds(
    Counts,
    *(counts for _ in range(6)),
    st.dictionaries(names, counts, max_size=3).map(lambda reasons: tuple(sorted(reasons.items()))),
)
usages = st.dictionaries(names, counted, max_size=3).map(lambda models: Usage(tuple(sorted(models.items()))))
rows = st.dictionaries(names, st.one_of(st.none(), st.integers(-5, 5), names, st.binary()), max_size=4)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    def slices(step: str) -> st.SearchStrategy[Slice]:
        payloads = st.builds(Payload, st.just(step), counts, counts, externals)
        return st.tuples(payloads, counts, counts).map(lambda made: Slice(made[0], *sorted(made[1:])))

    sources = draw(st.lists(steps, max_size=3))
    inputs = tuple(Input(source, tuple(draw(st.lists(slices(source), max_size=4)))) for source in sources)
    return Batch(draw(steps), draw(counts), draw(counts), inputs)


@st.composite
def results(draw: st.DrawFn) -> Result:
    chunk = st.tuples(counts, counts, externals).map(lambda made: Chunk(*sorted(made[:2]), made[2]))
    chunks = tuple(draw(st.lists(chunk, max_size=4)))
    choice = st.lists(steps, max_size=3).map(tuple)
    return Result(
        draw(steps),
        draw(counts),
        draw(counts),
        chunks,
        *(draw(counts) for _ in range(4)),
        draw(st.booleans()),
        draw(st.one_of(st.none(), st.tuples(*(choice for _ in chunks)))),
        draw(names),
        draw(st.integers(0, 10**9)) / 1e6,
        draw(usages),
        draw(usages),
        draw(counts),
    )


entries: st.SearchStrategy[Entry] = st.one_of(
    results(),
    st.builds(Failure, steps, counts, counts, errors, names),
    st.builds(Routed, steps, counts, st.lists(steps, max_size=3).map(tuple)),
    st.builds(PartWritten, steps, counts, counts, files, counts, counts, names, st.binary(max_size=50), counts),
    st.just(Reopened()),
)
letters = st.builds(DeadLetter, steps, counts, counts, counts, errors, counts, names, st.one_of(st.none(), rows))


def decode_letter(message: bytes) -> DeadLetter:
    (letter,) = decode_letters(message)
    return letter


DECODERS: list[Callable[[bytes], object]] = [
    lambda message: decode_batch("step", message),
    lambda message: decode_pointer("step", message),
    is_pointer,
    decode_entry,
    decode_letters,
]


@given(batches())
def test_a_batch_comes_back_as_it_was(batch: Batch) -> None:
    message = encode_batch(batch)
    assert decode_batch(batch.step, message) == batch
    assert not is_pointer(message)


@given(batches())
def test_a_pointer_gives_the_batch_without_its_inputs(batch: Batch) -> None:
    message = encode_pointer(batch)
    assert is_pointer(message)
    assert decode_pointer(batch.step, message) == Batch(batch.step, batch.seq, batch.attempt)


@given(entries)
def test_every_kind_of_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@given(letters)
def test_a_dead_letter_comes_back_as_it_was(letter: DeadLetter) -> None:
    assert decode_letter(encode_letter(letter)) == letter


@given(st.lists(letters, max_size=9))
def test_the_dead_letters_of_a_batch_come_back_as_they_were(many: list[DeadLetter]) -> None:
    of_one = [replace(one, step="s", seq=7, attempt=1, worker="w") for one in many]
    messages = encode_letters(of_one)
    assert len(messages) == min(1, len(many))
    assert [letter for message in messages for letter in decode_letters(message)] == of_one


def test_dead_letters_of_large_rows_are_sent_one_by_one_and_very_many_in_several_messages() -> None:
    large = [letter_of(row={"a": "x" * 900_000})] * 3
    assert len(encode_letters(large)) == 3
    assert [letter for message in encode_letters(large) for letter in decode_letters(message)] == large
    many = [replace(letter_of(str(place), {"n": place}), position=place) for place in range(1_200)]
    assert len(encode_letters(many)) == 3
    assert [letter for message in encode_letters(many) for letter in decode_letters(message)] == many
    broken = [letter_of(row={"a": {1, 2}}), letter_of(row={"a": 1})]
    assert [decode_letter(message).row for message in encode_letters(broken)] == [None, {"a": 1}]


def letter_of(error: str = "no", row: dict[str, Any] | None = None) -> DeadLetter:
    return DeadLetter("s", 1, 0, 2, error, 3, "w", row)


@pytest.mark.parametrize("row", [{"a": {1, 2}}, {"a": "\ud83d"}, {1: 2}, {"n": 2**64}], ids=repr)
def test_a_row_that_cannot_be_stored_is_left_out_of_its_dead_letter(row: dict[Any, Any]) -> None:
    assert decode_letter(encode_letter(letter_of(row=row))) == letter_of()


def test_a_row_that_is_too_large_for_a_message_is_left_out_of_its_dead_letter() -> None:
    assert decode_letter(encode_letter(letter_of(row={"a": b"x" * MESSAGE_LIMIT}))) == letter_of()


@pytest.mark.parametrize("make", [lambda text: Failure("s", 0, 0, text), letter_of], ids=["failure", "dead letter"])
def test_an_error_text_of_any_length_and_with_any_characters_can_be_sent(make: Callable[[str], Any]) -> None:
    """A step that raises with half an emoji in its message must not take its worker with it."""
    encode, decode = (encode_entry, decode_entry) if isinstance(make("x"), Failure) else (encode_letter, decode_letter)
    assert decode(encode(make("half \ud83d of it"))).error == "half \\ud83d of it"
    assert len(decode(encode(make("\ud83d" * 10 * ERROR_LIMIT))).error) == ERROR_LIMIT


@pytest.mark.parametrize("version", [0, PROTOCOL - 1, PROTOCOL + 1, -1, "1", None, [PROTOCOL], {}], ids=repr)
@pytest.mark.parametrize("decode", DECODERS)
def test_another_protocol_version_is_refused_in_words(decode: Callable[[bytes], object], version: object) -> None:
    message = msgpack.packb([version, "result", "and", "more"])
    with pytest.raises(WireError, match=f"has protocol .*; this version of Penstock speaks {PROTOCOL}"):
        decode(message)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("kind", ["gone", "", 5, None, ["result"], b"result"], ids=repr)
def test_an_unknown_kind_is_refused_with_the_kinds_there_are(decode: Callable[[bytes], object], kind: object) -> None:
    with pytest.raises(WireError, match=r"is of kind .*, not one of [a-z]+"):
        decode(msgpack.packb([PROTOCOL, kind]))


@pytest.mark.parametrize("decode", DECODERS)
def test_a_message_that_is_too_large_is_refused_before_it_is_read(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(WireError, match=f"at most {MESSAGE_LIMIT}"):
        decode(b"\x00" * (MESSAGE_LIMIT + 1))


def test_a_result_of_a_version_that_counted_nothing_is_read_and_one_without_models_is_written_like_it() -> None:
    fields = ["result", "s", 0, 0, [], 1, [0, 0, 0], False, None, "w", 1]
    message = msgpack.packb([PROTOCOL, *fields])
    result = decode_entry(message)
    assert isinstance(result, Result)
    assert not result.usage
    assert not result.skipped
    assert encode_entry(result) == message


BAD_SHAPES: list[list[object]] = [
    ["batch"],
    ["batch", 0, 0, [], "more"],
    ["batch", -1, 0, []],
    ["batch", 1.5, 0, []],
    ["batch", True, 0, []],
    ["batch", 0, 0, [["a"]]],
    ["batch", 0, 0, [["a", [[0, 0, 0]]]]],
    ["batch", 0, 0, [["a", [[0, 0, 0, -5]]]]],
    ["batch", 0, 0, [["a", [[0, 0, 5, 4]]]]],
    ["batch", 2**53 + 1, 0, []],
    ["result", "s", 0, 0, [[2, 1]], 1, [0, 0, 0], False, None, "w", 1],
    ["result", "s", 0, 0, [], 1, [0, 0], False, None, "w", 1],
    ["result", "s", 0, 0, [], 1, [0, 0, 0, -1], False, None, "w", 1],
    ["result", "s", 0, 0, [], 1, [0, 0, 0, 0, 0], False, None, "w", 1],
    ["result", "s", 0, 0, [], 1, [0, 0, 0], 1, None, "w", 1],
    ["batch", 0, 0, [[b"a", []]]],
    ["batch", 0, 0, 7],
    ["manifest", 0],
    ["result", "s", 0, 0],
    ["result", "s", 0, 0, [[1]], 1, [0, 0, 0], False, None, "w", 1],
    ["result", "s", 0, 0, [], 1, [0, 0], False, None, "w", 1],
    ["result", "s", 0, 0, [], 1, [0, 0, 0], False, [1], "w", 1],
    ["result", "s", 0, 0, [[1, 1]], 1, [0, 0, 0], False, [], "w", 1],
    ["result", "s", 0, 0, [[1, 1]], 1, [0, 0, 0], False, [["a"], ["b"]], "w", 1],
    ["result", "s", 0, 0, [[1, 1]], 1, [0, 0, 0], False, ["a"], "w", 1],
    ["result", "s", 0, 0, [], "1", [0, 0, 0], False, None, "w", 1],
    ["result", "s", 0, 0, [], 1, [0, 0, 0], False, None, "w", 1, [[]]],
    ["result", "s", 0, 0, [], 1, [0, 0, 0], False, None, "w", 1, [[["m", 1]], []]],
    ["result", "s", 0, 0, [], 1, [0, 0, 0], False, None, "w", 1, [[["m", 1, 0, 0, 0, 0, -1, []]], []]],
    ["result", "s", 0, 0, [], 1, [0, 0, 0], False, None, "w", 1, [[[b"m", 1, 0, 0, 0, 0, 0, []]], []]],
    ["result", "s", 0, 0, [], 1, [0, 0, 0], False, None, "w", 1, [[["m", 1, 0, 0, 0, 0, 0, [["stop", "1"]]]], []]],
    ["failure", "s", 0, 0, b"error", "w"],
    ["routed", "s", 0, 5],
    ["routed", "s", 0, "step"],
    ["part", "s", 0, 0, "name", 1, 0, "digest", "schema", 0],
    ["reopened", 1],
    ["letter", "s", 0, 0, 0, "e", 1, "w", b""],
    ["letter", "s", 0, 0, 0, "e", 1, "w", msgpack.packb([])],
    ["letter", "s", 0, 0, 0, "e", 1, "w", "row"],
]


@pytest.mark.parametrize("fields", BAD_SHAPES, ids=repr)
def test_a_message_of_another_shape_is_refused_by_its_kind(fields: list[object]) -> None:
    message = msgpack.packb([PROTOCOL, *fields])
    readers: dict[object, Callable[[bytes], object]] = {
        "batch": DECODERS[0],
        "manifest": DECODERS[1],
        "letter": decode_letter,
    }
    with pytest.raises(WireError, match=f"kind '{fields[0]}' has another shape|a payload of"):
        readers.get(fields[0], decode_entry)(message)


PATHS = ["../up", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "", "a\0b", "a\n", "x" * 300]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    "fields",
    [
        lambda name: ["batch", 0, 0, [[name, []]]],
        lambda name: ["batch", 0, 0, [["a", [[0, 0, 0, 1, name]]]]],
        lambda name: ["result", name, 0, 0, [], 1, [0, 0, 0], False, None, "w", 1],
        lambda name: ["result", "s", 0, 0, [[1, 1, name]], 1, [0, 0, 0], False, None, "w", 1],
        lambda name: ["result", "s", 0, 0, [[1, 1]], 1, [0, 0, 0], False, [[name]], "w", 1],
        lambda name: ["failure", name, 0, 0, "error", "w"],
        lambda name: ["routed", "s", 0, [name]],
        lambda name: ["part", "s", 0, 0, name, 1, 0, "digest", b"schema", 0],
        lambda name: ["letter", name, 0, 0, 0, "e", 1, "w", None],
    ],
)
def test_a_name_that_is_a_path_is_refused(fields: Callable[[str], list[object]], name: str) -> None:
    """Names of steps, parts and stored files become parts of paths and of keys."""
    kind, *rest = fields(name)
    readers: dict[object, Callable[[bytes], object]] = {"batch": DECODERS[0], "letter": decode_letter}
    with pytest.raises(WireError, match=f"kind '{kind}' has another shape: .* is not the name of a"):
        readers.get(kind, decode_entry)(msgpack.packb([PROTOCOL, kind, *rest]))


def test_an_entry_without_a_message_is_refused() -> None:
    with pytest.raises(WireError, match="has no field 'm' but 1 others"):
        message_of({b"n": b"1"})


def test_what_is_shown_of_a_hostile_message_is_short() -> None:
    with pytest.raises(WireError) as caught:
        decode_entry(msgpack.packb([PROTOCOL, "x" * 1_000_000]))
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("decode", DECODERS)
def test_endless_nesting_is_a_wire_error(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(WireError):
        decode(b"\x91" * 1_000_000)


@pytest.mark.parametrize("decode", DECODERS)
def test_a_size_that_is_only_claimed_takes_no_memory(decode: Callable[[bytes], object]) -> None:
    for kind in (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"):
        with pytest.raises(WireError):
            decode(kind + b"\xff\xff\xff\xff\x01")


@pytest.mark.parametrize("item", [b"\x91\x00", b"\xa2ab", b"\x80"])
@pytest.mark.parametrize("lists", [1, 100])
def test_an_entry_of_endless_small_values_is_refused_before_they_take_memory(item: bytes, lists: int) -> None:
    many = 8_000_000 // lists
    message = b"\x9c\x03\xa6result" + b"\xdc" + lists.to_bytes(2) + (b"\xdd" + many.to_bytes(4) + item * many) * lists
    with pytest.raises(
        WireError, match=r"is not a message: (it has more than 4,000,000 values|8000000 exceeds max_array)"
    ):
        decode_entry(message)


def test_a_result_of_many_chunks_is_read() -> None:
    result = Result(
        "all", 0, 0, tuple(Chunk(50, 5_000, f"all-0-0-{n:08}.{'d' * 32}") for n in range(100_000)), 5_000_000
    )
    assert decode_entry(encode_entry(result)) == result


@given(st.binary(max_size=200))
def test_bytes_that_nobody_wrote_are_a_wire_error_and_nothing_else(data: bytes) -> None:
    for decode in DECODERS:
        refused_or_read(decode, data)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 2**64 - 1), st.floats(), names, st.binary(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=2)),
)


@given(
    st.sampled_from(["batch", "manifest", "result", "failure", "routed", "part", "reopened", "letter"]),
    st.lists(plain, max_size=11),
)
def test_fields_of_any_kind_are_a_wire_error_and_nothing_else(kind: str, fields: list[object]) -> None:
    message = msgpack.packb([PROTOCOL, kind, *fields])
    for decode in DECODERS:
        refused_or_read(decode, message)


@given(st.one_of(batches().map(encode_batch), entries.map(encode_entry), letters.map(encode_letter)), st.data())
def test_a_message_that_was_damaged_is_a_wire_error_and_nothing_else(message: bytes, data: st.DataObject) -> None:
    damaged = bytearray(message)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(message)))])
    for decode in DECODERS:
        refused_or_read(decode, cut)


def refused_or_read(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except WireError as error:
        str(error).encode()
