"""Every exception that Penstock raises deliberately.

PenstockError
├── UsageError            exit 2   a wrong option or environment
│   └── SpecError         exit 2   a wrong pipeline: names file, line and the closest valid name
│       └── SpecFault              knows the place in the spec, not yet its file and line
│           └── StepNotHere        this process cannot import the class of a step
├── RunError              exit 1   the run cannot continue; resumable unless the error says otherwise
│   ├── BrokerError       exit 1   the broker is missing, unsuitable or full
│   │   ├── Disconnected           it cannot be reached; that may be temporary
│   │   │   └── Forgotten          it has lost its most recent writes
│   │   ├── BrokerFull             it accepts no new data; that may be temporary
│   │   ├── NotPermitted           it does not permit this user to do that
│   │   └── RunGone                it no longer has the run
│   ├── RunFailed         exit 1   a run that a program started did not finish
│   │   └── RunStopped    exit 130 because it was asked to stop
│   ├── OtherProtocol     exit 1   the run was made by another version (a worker ends with 78)
│   ├── PayloadLost       exit 1   rows that the journal refers to are unavailable
│   │   ├── PayloadMissing         they are not in the store
│   │   └── PayloadCorrupt         what is in the store is not what was written
│   ├── FileChanged       exit 1   a data file has changed since the run began
│   ├── BadData           exit 1   a data file is not valid in its format
│   ├── StoreError        exit 1   the payload store refuses a request
│   │   └── StoreAway              it cannot be reached, or is full; that may be temporary
│   └── WireError         exit 1   the broker holds something that this version does not write
│       └── ForeignData            a key of the run has another type
├── HubError              exit 1   the Hugging Face Hub refused a request or cannot be reached
├── Fenced                exit 75  another coordinator has the run
├── CannotServe           exit 78  this worker cannot serve the step (version, digest, import)
├── UnknownType                    a type name that matches no class; the caller adds the place
└── RowError                       one row failed; the engine turns it into a dead letter
    ├── RowTypeError               a value that a row cannot hold: names column and type
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
"""Exit code of a worker whose run had no coordinator for too long."""
EXIT_ENDPOINT_AWAY = 74
"""Exit code of a worker that cannot reach an endpoint that other workers of its step reach."""
EXIT_FENCED = 75
EXIT_CANNOT_SERVE = 78
EXIT_TIMEOUT = 124
"""Exit code of a worker whose step exceeded its `batch_timeout`; the command `timeout` uses the same."""
EXIT_STOPPED = 130


class PenstockError(Exception):
    """The root. `exit_code` is the exit code of a command that this error ends."""

    exit_code = EXIT_FAILED


class UsageError(PenstockError):
    """A wrong option, argument or environment; nothing was started."""

    exit_code = EXIT_USAGE


class SpecError(UsageError):
    """A pipeline that cannot run, found before anything was started.

    Args:
        message: what is wrong and, if there is one, the closest valid name.
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
    """A SpecError that knows its place in the spec, but not yet the file and line.

    Args:
        message: what is wrong, and the next move.
        loc: the place; an enclosing place will do.
    """

    def __init__(self, message: str, loc: Loc = ()) -> None:
        self.loc = loc
        super().__init__(message)


class StepNotHere(SpecFault):
    """This process cannot import the class of a step, or of its LLM; another process may be able to.

    Args:
        forbidden: the module exists, but this process is not allowed to import it.
    """

    def __init__(self, message: str, loc: Loc, *, forbidden: bool) -> None:
        self.forbidden = forbidden
        super().__init__(message, loc)


class RunError(PenstockError):
    """The run cannot continue. Finished work is kept: rerun the command to resume."""


class BrokerError(RunError):
    """The broker is missing, unsuitable (it evicts, it is too old) or full."""


class Disconnected(BrokerError):
    """The broker cannot be reached, is starting, or is not the primary: try again."""


class Forgotten(Disconnected):
    """The broker has lost its most recent writes. What was read from it is stale: take over again, and reread."""


class BrokerFull(BrokerError):
    """The broker has reached its `maxmemory` and accepts no new data."""


class NotPermitted(BrokerError):
    """The broker does not let this user in, or does not permit the command; waiting does not help."""


class RunGone(BrokerError):
    """The broker no longer has the run; its workers have nothing to do.

    Args:
        broker: its URL, without password.
    """

    def __init__(self, broker: str) -> None:
        super().__init__(
            f"the broker at {broker} no longer has this run: it has lost its data, or the run was removed; "
            "restart this worker once the run is resumed"
        )


class RunFailed(RunError):
    """A run that a program started did not finish; the same call resumes it.

    Args:
        report: a `coordinator.view.view.Outcome`: its progress, where its finished rows are, why it ended.
    """

    def __init__(self, message: str, report: object) -> None:
        self.report = report
        super().__init__(message)


class RunStopped(RunFailed):
    """The run was asked to stop."""

    exit_code = EXIT_STOPPED


class OtherProtocol(RunError):
    """The run was created by a version that uses another protocol."""


class PayloadLost(RunError):
    """Rows that the journal refers to are unavailable.

    Args:
        name: the key of the payload, or the URL of its file.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)


class PayloadMissing(PayloadLost):
    """The rows are not in the payload store.

    Args:
        in_file: the payload is a file, not a key of the broker.
    """

    def __init__(self, name: str, *, in_file: bool = False) -> None:
        why = (
            "the file was deleted, or is out of reach of this host: restore it and rerun the command, or "
            if in_file
            else "the broker lost acknowledged data (eviction, a flush, another AOF): "
        )
        super().__init__(
            name,
            f"payload {name} is missing from the store although the journal refers to it; {why}start over with --fresh",
        )


class PayloadCorrupt(PayloadLost):
    """The content in the payload store is not what was written.

    Args:
        size: bytes found.
    """

    def __init__(self, name: str, size: int) -> None:
        super().__init__(
            name,
            f"payload {name} was changed or truncated in the store: its {size} bytes do not match the digest in its "
            "name; restore the file and rerun the command, or start over with --fresh",
        )


class BadData(RunError):
    """A data file is not valid in its format; reading it again does not help."""


class FileChanged(RunError):
    """A data file has changed since the run began.

    Args:
        path: of the file, as messages show it.
        difference: the evidence, in words.
    """

    def __init__(self, path: str, difference: str) -> None:
        self.path = path
        super().__init__(
            f"the file {path} has changed since the run began: {difference}; none of its new content is in the "
            "dataset. Rerun the command: it resumes this run once the old file is restored, else it starts a new run "
            "with the changed file"
        )


class StoreError(RunError):
    """The payload store refuses a request: it is missing, not permitted, or not installed."""


class StoreAway(StoreError):
    """The payload store cannot be reached or is full. That may be temporary."""


class WireError(RunError):
    """What the broker holds does not have the shape that this version writes and reads."""


class ForeignData(WireError):
    """A key of the run holds foreign data; retrying does not help.

    Args:
        answer: what the broker says, and about which key.
    """

    def __init__(self, answer: str) -> None:
        self.answer = answer
        super().__init__(
            f"{answer}; something other than Penstock has written there: keep it out, and start over with --fresh"
        )


class HubError(PenstockError):
    """The Hugging Face Hub refused a request or cannot be reached; says what was not done, and the next move."""


class Fenced(PenstockError):
    """Another coordinator has taken over the run; this one must stop writing."""

    exit_code = EXIT_FENCED


class CannotServe(PenstockError):
    """This worker cannot serve the step: another version, different source, or a failing import."""

    exit_code = EXIT_CANNOT_SERVE


class RowError(PenstockError):
    """One row failed and the others of its batch did not.

    Args:
        columns: the part of the row that was made, by the step's own names; kept under `on_error: nulls`.
    """

    def __init__(self, message: str = "", columns: Mapping[str, Any] | None = None) -> None:
        self.columns = dict(columns or {})
        super().__init__(message)


class RowTypeError(RowError):
    """A row holds a value of a type that rows cannot hold.

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
    """A row has more bytes than allowed."""


class UnknownType(PenstockError, ValueError):
    """A type name that matches no class; the caller adds the place. A ValueError, so that a validator of pydantic may
    let it through.

    Args:
        message: why, and the next move.
        type_name: as given.
        nearest: the closest valid name.
    """

    def __init__(self, message: str, type_name: str, nearest: str | None = None) -> None:
        self.type_name = type_name
        self.nearest = nearest
        super().__init__(message)


class TwoOfOneName(ValueError):
    """An object has two values of one name: one of them would be lost."""


class Stopped(Exception):
    """The run was asked to stop, and did: the work in hand is finished or handed back."""


class Interrupted(Exception):
    """The worker was told to stop while rows waited for a retry: they are handed back, not failed."""


class StepFailed(Exception):
    """The batch fails the run: `on_error: fail`, or a step that may not drop rows."""


def describe(error: BaseException) -> str:
    """Type and message of an exception, and the line of the user's code that raised it; a dead letter shows it."""
    place = place_of(error)
    if isinstance(error, PenstockError) and origin_of(place.rpartition(":")[0]) is not Origin.USERS:
        place = ""  # such as that of an endpoint: its words say where
    return f"{type(error).__name__}: {words_of(error)}{f' (at {place})' if place else ''}"


def words_of(error: BaseException) -> str:
    """The message of an error, even if its class cannot produce it."""
    try:
        return str(error)
    except Exception as second:  # any error of a user's `__str__`
        return f"(its message is unavailable: {type(second).__name__})"
