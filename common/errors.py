"""Every exception that Penstock raises on purpose.

PenstockError
├── UsageError            exit 2   a wrong option or environment
│   └── SpecError         exit 2   a wrong pipeline: says file, line and the nearest right name
│       └── SpecFault              knows the place in the spec, not yet its file and line
│           └── StepNotHere        this process cannot import the class of a step
├── RunError              exit 1   the run cannot go on; resumable unless it says otherwise
│   ├── BrokerError       exit 1   the broker is missing, unsuitable or full
│   │   ├── Disconnected           it cannot be reached; that may pass
│   │   │   └── Forgotten          it has lost its last writes
│   │   ├── BrokerFull             it takes no new data; that may pass
│   │   ├── NotPermitted           it does not let this user do that
│   │   └── RunGone                it holds nothing of the run any more
│   ├── RunFailed         exit 1   a run that a program started has not come to its end
│   │   └── RunStopped    exit 130 since it was asked to stop
│   ├── OtherProtocol     exit 1   the run was made by another version (a worker ends with 78)
│   ├── PayloadLost       exit 1   rows that the journal promises cannot be had
│   │   ├── PayloadMissing         they are not in the store
│   │   └── PayloadCorrupt         what is in the store is not what was written
│   ├── FileChanged       exit 1   a data file is not what it was when the run began
│   ├── BadData           exit 1   a data file does not hold what its format wants
│   ├── StoreError        exit 1   the payload store refuses something
│   │   └── StoreAway              it cannot be reached, or is full; that may pass
│   └── WireError         exit 1   what the broker holds is not what this version writes
│       └── ForeignData            a key of ours is of another type
├── HubError              exit 1   the Hugging Face Hub refused something, or cannot be reached
├── Fenced                exit 75  another coordinator has the run
├── CannotServe           exit 78  this worker cannot serve the step (version, digest, import)
├── UnknownType                    a type name that leads to no class; the caller says where it stands
└── RowError                       one row failed; the engine turns it into a dead letter
    ├── RowTypeError               a value that rows cannot hold: names column and type
    └── RowTooLarge                more bytes than a row may have

Not errors, but ways out of a loop: Stopped (a coordinator), Interrupted and StepFailed (a worker's batch).
An error that only one module catches stands in that module, below one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.location import Origin, origin_of, place_of

Loc = tuple[str | int, ...]
"""A place in a spec: keys and list indexes from the top, such as ("steps", "generate", "llm", "model")."""

EXIT_COMPLETE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_FAILED_ROWS = 3
EXIT_NOT_PUSHED = 5
EXIT_NO_COORDINATOR = 69
"""Of a worker whose run had no coordinator for too long."""
EXIT_FENCED = 75
EXIT_CANNOT_SERVE = 78
EXIT_TIMEOUT = 124
"""Of a worker whose step took longer than its `batch_timeout`; the command `timeout` ends with it as well."""
EXIT_STOPPED = 130


class PenstockError(Exception):
    """The root. `exit_code` is what a command ends with when this error ends it."""

    exit_code = EXIT_FAILED


class UsageError(PenstockError):
    """A wrong option, argument or environment; nothing was started."""

    exit_code = EXIT_USAGE


class SpecError(UsageError):
    """A pipeline that cannot run, found before anything was started.

    Args:
        message: what is wrong and, where there is one, the nearest right name.
        file: the spec's path as the user gave it.
        line: 1-based line in `file`.
    """

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        self.message = message
        self.file = file
        self.line = line
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + message)


class SpecFault(SpecError):
    """A SpecError that knows its place in the spec, but not yet the file and the line of that place.

    Args:
        message: what is wrong, and the next move.
        loc: where; a place around it will do.
    """

    def __init__(self, message: str, loc: Loc = ()) -> None:
        self.loc = loc
        super().__init__(message)


class StepNotHere(SpecFault):
    """This process cannot import the class of a step, or of its LLM; another process may.

    Args:
        forbidden: the module is here, but this process may not import it.
    """

    def __init__(self, message: str, loc: Loc, *, forbidden: bool) -> None:
        self.forbidden = forbidden
        super().__init__(message, loc)


class RunError(PenstockError):
    """The run cannot go on. What is done is kept: the same command goes on from there."""


class BrokerError(RunError):
    """The broker is missing, unsuitable (it evicts, it is too old) or full."""


class Disconnected(BrokerError):
    """The broker cannot be reached, is starting, or is not the primary: try again."""


class Forgotten(Disconnected):
    """The broker has lost its last writes. What was read of it does not hold: take over again, and read anew."""


class BrokerFull(BrokerError):
    """The broker has reached its `maxmemory` and takes no new data."""


class NotPermitted(BrokerError):
    """The broker does not let this user in, or not do this; nothing changes by waiting."""


class RunGone(BrokerError):
    """The broker holds nothing of the run any more; there is nothing for a worker of it to do.

    Args:
        broker: its URL, without password.
    """

    def __init__(self, broker: str) -> None:
        super().__init__(
            f"the broker at {broker} holds nothing of this run any more: it has lost its data, or the run was removed; "
            "start this worker again when the run goes on"
        )


class RunFailed(RunError):
    """A run that a program started has not come to its end; the same call goes on with it.

    Args:
        report: a `coordinator.view.view.Outcome`: how far it is, where the rows that are done are, why it ended.
    """

    def __init__(self, message: str, report: object) -> None:
        self.report = report
        super().__init__(message)


class RunStopped(RunFailed):
    """It was asked to stop."""

    exit_code = EXIT_STOPPED


class OtherProtocol(RunError):
    """The run was made by a version that speaks another protocol."""


class PayloadLost(RunError):
    """Rows that the journal promises cannot be had.

    Args:
        name: the payload's key, or its file's URL.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)


class PayloadMissing(PayloadLost):
    """They are not in the payload store.

    Args:
        in_file: it is not a key of the broker.
    """

    def __init__(self, name: str, *, in_file: bool = False) -> None:
        why = (
            "the file was deleted, or is where this host does not look: run the command again when it is back, or "
            if in_file
            else "the broker lost data that it had acknowledged (eviction, a flush, another AOF): "
        )
        super().__init__(
            name,
            f"payload {name} is missing from the store although the journal refers to it; {why}start over with --fresh",
        )


class PayloadCorrupt(PayloadLost):
    """What is in the payload store is not what was written.

    Args:
        size: bytes that are there.
    """

    def __init__(self, name: str, size: int) -> None:
        super().__init__(
            name,
            f"payload {name} was changed or cut off in the store: its {size} bytes do not have the digest in its name; "
            "run the command again when the file is restored, or start over with --fresh",
        )


class BadData(RunError):
    """A data file does not hold what its format wants; to read it again would not mend it."""


class FileChanged(RunError):
    """A data file is not what it was when the run began.

    Args:
        path: as messages show it.
        difference: what shows it.
    """

    def __init__(self, path: str, difference: str) -> None:
        self.path = path
        super().__init__(
            f"the file {path} has changed since the run began: {difference}; nothing of what it is now is in the "
            "dataset. The same command begins a run of the changed file, or goes on with this one once the file is "
            "put back"
        )


class StoreError(RunError):
    """The payload store refuses something: it is not there, not permitted, or not installed."""


class StoreAway(StoreError):
    """The payload store cannot be reached or is full. That may pass."""


class WireError(RunError):
    """What the broker holds does not have the shape that this version writes and reads."""


class ForeignData(WireError):
    """A key of ours holds what something else has written; nothing changes by trying again.

    Args:
        answer: what the broker says of which key.
    """

    def __init__(self, answer: str) -> None:
        self.answer = answer
        super().__init__(
            f"{answer}; something else than Penstock has written there: keep it out, and start over with --fresh"
        )


class HubError(PenstockError):
    """The Hugging Face Hub refused something, or cannot be reached; says what is not done, and the next move."""


class Fenced(PenstockError):
    """Another coordinator has taken the run over; this one must not write any more."""

    exit_code = EXIT_FENCED


class CannotServe(PenstockError):
    """This worker cannot serve the step: another version, another source, or an import that fails."""

    exit_code = EXIT_CANNOT_SERVE


class RowError(PenstockError):
    """One row failed and the others of its batch did not.

    Args:
        columns: what there is of the row all the same, by the step's own names; kept under `on_error: nulls`.
    """

    def __init__(self, message: str = "", columns: Mapping[str, Any] | None = None) -> None:
        self.columns = dict(columns or {})
        super().__init__(message)


class RowTypeError(RowError):
    """A row holds a value that rows cannot hold.

    Args:
        column: path of the value, such as `answer` or `meta.scores[3]`.
        found: name of the type found there.
    """

    def __init__(self, column: str, found: str, detail: str = "") -> None:
        self.column = column
        self.found = found
        super().__init__(
            f"column '{column}' holds a value of type {found}{f' ({detail})' if detail else ''}; rows hold "
            "None, bool, int (64 bit), float, decimal, str, bytes, datetime, date, time, duration, lists and dicts "
            "with string keys"
        )


class RowTooLarge(RowError):
    """A row has more bytes than it may have."""


class UnknownType(PenstockError, ValueError):
    """A type name that does not lead to a class; the caller says where it stands. A ValueError, so that a validator of
    pydantic may let it through.

    Args:
        message: why, and the next move.
        type_name: as it was given.
        nearest: the right name that is closest to it.
    """

    def __init__(self, message: str, type_name: str, nearest: str | None = None) -> None:
        self.type_name = type_name
        self.nearest = nearest
        super().__init__(message)


class TwoOfOneName(ValueError):
    """An object has a name twice: one of the two values would be lost."""


class Stopped(Exception):
    """The run was asked to stop, and has: what was in hand is done or handed back."""


class Interrupted(Exception):
    """The worker was told to stop while rows waited for a retry: they are handed back, not given up."""


class StepFailed(Exception):
    """The batch fails the run: `on_error: fail`, or a step that may not leave rows out."""


def describe(error: BaseException) -> str:
    """Type and message of an exception, and the user's line that raised it; what a user reads in a dead letter."""
    place = place_of(error)
    if isinstance(error, PenstockError) and origin_of(place.rpartition(":")[0]) is not Origin.USERS:
        place = ""  # such as that of an endpoint: its words say where
    return f"{type(error).__name__}: {words_of(error)}{f' (at {place})' if place else ''}"


def words_of(error: BaseException) -> str:
    """Its message, also where its class cannot say it."""
    try:
        return str(error)
    except Exception as second:  # any error of a user's `__str__`
        return f"(its message cannot be had: {type(second).__name__})"
