"""Messages <-> the bytes of a stream entry. Pure; the only place that knows the shape of a message.

A message is a msgpack array whose first two elements are the protocol version and the kind. Input is checked:
another version, size or shape is a `WireError`, never a crash further in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgpack

from common.errors import RowError, WireError
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
from common.protocol.checks import as_bool, as_bytes, as_count, as_list, as_text, shown
from common.protocol.codec import decode_rows, encode_rows
from common.protocol.step_name import STEP_NAME
from common.protocol.usage import Usage, usage_in, usage_out

PROTOCOL = 3
SLICES_IN_A_MESSAGE = 1_000
MESSAGE_LIMIT = 64 << 20
"""Most bytes of a message; the largest is the manifest of a global step."""
SMALL_MESSAGE = 1 << 20
MOST_VALUES = 4_000_000
"""Most values in the lists of a larger message: each takes up to 60 bytes of memory, however few in the message."""
LETTERS_TOGETHER = 500
ERROR_LIMIT = 4_000
"""Most characters kept of an error text."""
"""Most characters of invalid data that an error shows."""
FILE_NAME = re.compile(r"[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,254}")
ROW_LIMIT = MESSAGE_LIMIT - (1 << 20)
"""Most bytes of a row in a dead letter."""

T = TypeVar("T")


def message_of(fields: Mapping[bytes, bytes]) -> bytes:
    """The message in the fields of a stream entry.

    Raises:
        WireError: there is none, so Penstock did not write the entry.
    """
    message = fields.get(b"m")
    if message is None:
        raise WireError(f"a stream entry has no field 'm' but {len(fields)} others")
    return message


def encode_batch(batch: Batch) -> bytes:
    """An input batch: for a step's stream, or for the manifest of a global step."""
    inputs = [[source.step, [_slice_out(piece) for piece in source.slices]] for source in batch.inputs]
    return _pack("batch", batch.seq, batch.attempt, inputs)


def decode_batch(step: str, message: bytes) -> Batch:
    """The stream determines the step of the batch."""
    return _read(message, {"batch": lambda seq, attempt, inputs: _batch_in(step, seq, attempt, inputs)})


def needs_manifest(batch: Batch) -> bool:
    """Whether its inputs exceed a stream entry. Those of a global step may."""
    return sum(len(source.slices) for source in batch.inputs) > SLICES_IN_A_MESSAGE


def encode_message(batch: Batch) -> bytes:
    """The entry in the stream of the batch's step: the batch, or a reference to its manifest."""
    return encode_pointer(batch) if needs_manifest(batch) else encode_batch(batch)


def encode_pointer(batch: Batch) -> bytes:
    """A batch whose inputs are in a manifest."""
    return _pack("manifest", batch.seq, batch.attempt)


def is_pointer(message: bytes) -> bool:
    """Whether the message says that the batch is in a manifest."""
    return _read(message, {"manifest": lambda *_: True, "batch": lambda *_: False})


def decode_pointer(step: str, message: bytes) -> Batch:
    """The batch without its inputs."""
    return _read(message, {"manifest": lambda seq, attempt: Batch(step, as_count(seq), as_count(attempt))})


def encode_entry(entry: Entry) -> bytes:
    """An entry of the journal."""
    match entry:
        case Result():
            chunks = [[chunk.rows, chunk.size, *_some(chunk.external)] for chunk in entry.chunks]
            return _pack(
                "result",
                entry.step,
                entry.seq,
                entry.attempt,
                chunks,
                entry.taken,
                [entry.failed, entry.lost, entry.holes, *_skipped_out(entry)],
                entry.last,
                entry.routed,
                entry.worker,
                round(entry.seconds * 1e6),
                *_models_out(entry),
            )
        case Failure():
            return _pack("failure", entry.step, entry.seq, entry.attempt, _error(entry.error), entry.worker)
        case Routed():
            return _pack("routed", entry.step, entry.seq, entry.successors)
        case PartWritten():
            return _pack(
                "part",
                entry.step,
                entry.first_seq,
                entry.last_seq,
                entry.name,
                entry.rows,
                entry.failed,
                entry.digest,
                entry.schema,
                entry.size,
            )
        case Reopened():
            return _pack("reopened")


def decode_entry(message: bytes) -> Entry:
    """Raises WireError for anything that `encode_entry` does not write."""
    readers: dict[str, Callable[..., Entry]] = {
        "result": _result_in,
        "failure": lambda step, seq, attempt, error, worker: Failure(
            _step(step), as_count(seq), as_count(attempt), as_text(error), as_text(worker)
        ),
        "routed": lambda step, seq, successors: Routed(_step(step), as_count(seq), _steps(successors)),
        "part": lambda step, first, last, name, rows, failed, digest, schema, size: PartWritten(
            _step(step),
            as_count(first),
            as_count(last),
            _file(name),
            as_count(rows),
            as_count(failed),
            as_text(digest),
            as_bytes(schema),
            as_count(size),
        ),
        "reopened": Reopened,
    }
    return _read(message, readers)


def encode_letter(letter: DeadLetter) -> bytes:
    """A dead letter. A row that cannot be stored or sent is omitted."""
    try:
        row = encode_rows([letter.row]) if letter.row is not None else None
    except RowError:
        row = None
    if row is not None and len(row) > ROW_LIMIT:
        row = None
    return _pack(
        "letter",
        letter.step,
        letter.seq,
        letter.attempt,
        letter.position,
        _error(letter.error),
        letter.attempts,
        letter.worker,
        row,
    )


def encode_letters(letters: Sequence[DeadLetter]) -> list[bytes]:
    """Dead letters of one batch and worker: many in one message, or one each if their rows are large."""
    some = (letters[first : first + LETTERS_TOGETHER] for first in range(0, len(letters), LETTERS_TOGETHER))
    return [message for together in some for message in _letters_out(together)]


def _letters_out(letters: Sequence[DeadLetter]) -> list[bytes]:
    try:
        rows = encode_rows([letter.row for letter in letters])
    except RowError:
        rows = b""
    if len(letters) < 2 or not 0 < len(rows) <= SMALL_MESSAGE:
        return [encode_letter(letter) for letter in letters]
    first, errors = letters[0], list(dict.fromkeys(letter.error for letter in letters))
    places = {error: place for place, error in enumerate(errors)}
    facts = [[letter.position, places[letter.error], letter.attempts] for letter in letters]
    texts = [_error(error) for error in errors]
    return [_pack("letters", first.step, first.seq, first.attempt, first.worker, texts, facts, rows)]


def decode_letters(message: bytes) -> list[DeadLetter]:
    """Raises WireError for anything that `encode_letter` and `encode_letters` do not write."""
    return _read(
        message,
        {
            "letter": lambda step, seq, attempt, position, error, attempts, worker, row: [
                DeadLetter(
                    _step(step),
                    as_count(seq),
                    as_count(attempt),
                    as_count(position),
                    as_text(error),
                    as_count(attempts),
                    as_text(worker),
                    None if row is None else decode_rows(as_bytes(row))[0],
                )
            ],
            "letters": _letters_in,
        },
    )


def _letters_in(step: Any, seq: Any, attempt: Any, worker: Any, errors: Any, facts: Any, rows: Any) -> list[DeadLetter]:
    of_batch, texts = (_step(step), as_count(seq), as_count(attempt)), [as_text(error) for error in errors]
    decoded = decode_rows(as_bytes(rows))
    return [
        DeadLetter(*of_batch, as_count(position), texts[as_count(error)], as_count(attempts), as_text(worker), row)
        for (position, error, attempts), row in zip(facts, decoded, strict=True)
    ]


def _error(text: str) -> str:
    """A step's error may quote text that is not valid Unicode, which a message cannot hold."""
    return text[:ERROR_LIMIT].encode(errors="backslashreplace").decode()[:ERROR_LIMIT]


def _pack(kind: str, *fields: object) -> bytes:
    packed: bytes = msgpack.packb([PROTOCOL, kind, *fields])
    return packed


def _read(message: bytes, readers: dict[str, Callable[..., T]]) -> T:
    if len(message) > MESSAGE_LIMIT:
        raise WireError(f"a stream entry has {len(message)} bytes; at most {MESSAGE_LIMIT} are allowed")
    try:
        version, kind, *rest = _unpack(message)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"a stream entry of {len(message)} bytes is not a message: {shown(error)}") from None
    if type(version) is not int or version != PROTOCOL:
        raise WireError(f"a stream entry has protocol {shown(version)}; this version of Penstock speaks {PROTOCOL}")
    reader = readers.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise WireError(f"a stream entry is of kind {shown(kind)}, not one of {', '.join(readers)}")
    try:
        return reader(*rest)
    except (ValueError, TypeError, IndexError, WireError) as error:
        raise WireError(f"a stream entry of kind '{kind}' has another shape: {shown(error)}") from None


def _unpack(message: bytes) -> Any:
    if len(message) <= SMALL_MESSAGE:
        return msgpack.unpackb(message)
    values = 0

    def count(items: list[Any]) -> list[Any]:
        nonlocal values
        values += 1 + len(items)
        if values > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} values")
        return items

    return msgpack.unpackb(message, list_hook=count, max_array_len=MOST_VALUES, max_map_len=0, max_ext_len=0)


def _slice_out(piece: Slice) -> list[object]:
    payload = piece.payload
    return [payload.seq, payload.attempt, piece.start, piece.stop, *_some(payload.external)]


def _batch_in(step: str, seq: Any, attempt: Any, inputs: Any) -> Batch:
    sources = tuple(
        Input(_step(source), tuple(_slice_in(source, *piece) for piece in slices)) for source, slices in inputs
    )
    return Batch(step, as_count(seq), as_count(attempt), sources)


def _slice_in(step: str, seq: Any, attempt: Any, start: Any, stop: Any, external: Any = None) -> Slice:
    payload = Payload(step, as_count(seq), as_count(attempt), None if external is None else _file(external))
    if not as_count(start) <= as_count(stop):
        raise ValueError(f"rows {start} to {stop} are not a range")
    return Slice(payload, start, stop)


def _result_in(
    step: Any,
    seq: Any,
    attempt: Any,
    chunks: Any,
    taken: Any,
    lost_rows: Any,
    last: Any,
    routed: Any,
    worker: Any,
    micros: Any,
    models: Any = None,
) -> Result:
    failed, lost, holes, skipped = lost_rows if len(lost_rows) == 4 else (*lost_rows, 0)
    usage, saved = (Usage(), Usage()) if models is None else map(usage_in, as_list(models))
    return Result(
        _step(step),
        as_count(seq),
        as_count(attempt),
        tuple(_chunk_in(*chunk) for chunk in chunks),
        as_count(taken),
        as_count(failed),
        as_count(lost),
        as_count(holes),
        as_bool(last),
        _routed_in(routed, len(chunks)),
        as_text(worker),
        as_count(micros) / 1e6,
        usage,
        saved,
        as_count(skipped),
    )


def _skipped_out(result: Result) -> list[int]:
    """Nothing if no row was skipped: versions without `skip_when` can read the entry then."""
    return [result.skipped] if result.skipped else []


def _models_out(result: Result) -> list[object]:
    """Nothing if no model was asked: versions without this field can read the entry then."""
    if not result.usage and not result.saved:
        return []
    return [[usage_out(result.usage), usage_out(result.saved)]]


def _routed_in(routed: Any, chunks: int) -> tuple[tuple[str, ...], ...] | None:
    if routed is None:
        return None
    if len(routed) != chunks:
        raise ValueError(f"{len(routed)} choices for {chunks} chunks")
    return tuple(_steps(chosen) for chosen in routed)


def _chunk_in(rows: Any, size: Any, external: Any = None) -> Chunk:
    if not as_count(rows) <= as_count(size):
        raise ValueError(f"{rows} rows do not fit into {size} bytes")
    return Chunk(rows, size, None if external is None else _file(external))


def _some(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _step(value: Any) -> str:
    """A name that is part of keys and of paths."""
    if not STEP_NAME.fullmatch(as_text(value)):
        raise ValueError(f"{shown(value)} is not the name of a step")
    return str(value)


def _file(value: Any) -> str:
    """A name in one of our folders, never a path out of it."""
    if not FILE_NAME.fullmatch(as_text(value)):
        raise ValueError(f"{shown(value)} is not the name of a file")
    return str(value)


def _steps(value: Any) -> tuple[str, ...]:
    return tuple(_step(item) for item in as_list(value, "steps"))
