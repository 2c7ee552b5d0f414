"""Payloads outside the broker: files in a folder that every host can reach, for rows that are large or wait long.

The reference in the journal is authoritative. A file has a random part in its name, so two workers never write the same
one; a file that no committed result names is an orphan, to be collected. The digest in the name is that of the bytes,
so reading detects any change.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential_jitter,
)

from common.errors import PayloadCorrupt, PayloadLost, PayloadMissing, StoreAway, StoreError
from common.payloads.folder import Folder
from common.payloads.names import digest_of, make_name, parse_name
from common.protocol.batch import Payload

MARK = "penstock-run"
"""A file with the run's id. A worker that does not find it uses another folder than the coordinator."""
AT_ONCE = 8
"""Files read or deleted at a time, if each takes a round trip."""
LATE_SECONDS = 1.0
"""Seconds after which a missing file is looked for again: a shared disk may show it to another host late."""
T = TypeVar("T")

logger = logging.getLogger("penstock")


@dataclass(frozen=True, slots=True)
class FileStore:
    """Payloads as files below an fsspec URL or a local folder.

    Args:
        url: the run's own folder, which every worker and the coordinator can reach.
        earlier: earlier folders of the run: they may still hold needed files.
        patience: seconds of retries while a store is unreachable.
        stopping: ends such a wait.
    """

    url: str
    earlier: tuple[str, ...] = ()
    patience: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)
    _folders: tuple[Folder, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Does not connect yet."""
        object.__setattr__(self, "_folders", tuple(Folder(url) for url in (self.url, *self.earlier)))

    def write(self, step: str, seq: int, attempt: int, data: bytes) -> str:
        """Stores a payload, durably, and returns its name.

        Raises:
            StoreError: the folder cannot be written.
        """

        def put() -> str:
            name = make_name(step, seq, attempt, data)  # a new one each time: a partial file may exist
            self._folder.put(name, data)
            return name

        return self._insist(put)

    def read(self, payload: Payload) -> bytes:
        """The bytes that were written.

        Raises:
            PayloadLost: they are missing, or have changed.
            StoreError: the folder cannot be read.
        """
        (found,) = self.read_all([payload])
        if isinstance(found, PayloadLost):
            raise found
        return found

    def read_all(self, payloads: Sequence[Payload]) -> list[bytes | PayloadLost]:
        """The bytes of each, or the error.

        Raises:
            StoreError: the folder cannot be read.
        """
        found = self._each(self._look, payloads)
        missing = [place for place, one in enumerate(found) if isinstance(one, PayloadMissing)]
        if missing:
            self.stopping.wait(LATE_SECONDS)
            again = self._each(self._look, [payloads[place] for place in missing])
            for place, one in zip(missing, again, strict=True):
                found[place] = one
        return found

    def _look(self, payload: Payload) -> bytes | PayloadLost:
        name = payload.external or ""
        for folder in self._folders:
            with suppress(FileNotFoundError):
                data = self._insist(partial(folder.get, name))
                parsed = parse_name(name)
                right = parsed is not None and parsed.digest == digest_of(data)
                return data if right else PayloadCorrupt(f"{folder.url}/{name}", len(data))
        return PayloadMissing(f"{self.url}/{name}", in_file=True)

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files; ignores missing ones. Raises StoreError."""
        for folder in self._folders:
            self._each(folder.delete, list(names))

    def names(self) -> list[str]:
        """Everything in the folders. Raises StoreError."""
        return [name for folder in self._folders for name in folder.names()]

    def remove(self) -> None:
        """Deletes the folders: files released lately, and orphans that no committed result ever named."""
        for folder in self._folders:
            self._insist(folder.remove)

    def open(self, run_id: str) -> None:
        """Creates the folder and checks that it is usable; for the coordinator.

        Raises:
            StoreError: it is not.
        """
        self._insist(self._folder.make)
        self._insist(self._folder.try_out)
        with suppress(FileNotFoundError):
            if self._insist(lambda: self._folder.get(MARK)) == run_id.encode():
                return
            self._insist(lambda: self._folder.delete(MARK))
        self._insist(lambda: self._folder.put(MARK, run_id.encode()))

    def join(self, run_id: str) -> None:
        """Checks that this is the coordinator's folder and that it is usable; for a worker.

        Raises:
            StoreError: it is not, or is unusable.
        """
        try:
            mark = self._insist(lambda: self._folder.get(MARK))
        except FileNotFoundError:
            mark = b""
        if mark != run_id.encode():
            raise StoreError(
                f"the folder of payloads {self.url} does not exist, or is not the one that the coordinator uses: "
                + (
                    "mount it at the same path, or run the pipeline with --payloads URL"
                    if self._folder.local
                    else "use the same endpoint and account"
                )
            )
        self._insist(self._folder.try_out)

    @property
    def _folder(self) -> Folder:
        return self._folders[0]

    def _each(self, act: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        if len(items) < 2 or self._folder.local is not None:
            return [act(item) for item in items]
        with ThreadPoolExecutor(AT_ONCE, "payloads") as threads:
            return list(threads.map(act, items))

    def _insist(self, act: Callable[[], T]) -> T:
        def before_sleep(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome is not None:
                logger.warning("%s; trying again for up to %.0f s", state.outcome.exception(), self.patience)

        retrying = Retrying(
            retry=retry_if_exception_type(StoreAway),
            wait=wait_exponential_jitter(multiplier=0.2, max=10.0, jitter=0.2),
            stop=stop_after_delay(self.patience) | stop_when_event_set(self.stopping),
            sleep=sleep_using_event(self.stopping),
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(act)
