"""What a run keeps outside the broker: payloads in files, artifacts of steps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from common.errors import StoreError, UsageError
from common.payloads.artifacts import ARTIFACTS, ArtifactStore
from common.payloads.folder import check_url
from common.payloads.stores import MARK, FileStore
from common.protocol.run_options import ArtifactFolders, RunOptions
from common.settings import Settings
from coordinator.identity.request import RunRequest
from coordinator.runs.run_directory import RunDirectory, RunRecord

OPENING_SECONDS = 10.0
"""How long to wait for an unreachable store while there is nothing to lose yet."""
EMBEDDED_DELAY = 10.0
"""Seconds that a released file is kept if the broker is on the same host and writes its AOF every second."""


class RunStores:
    """The folders of one run, in its run directory and below the URL of `--payloads`.

    Without that URL, local workers use the run directory. With an embedded broker, all workers are on this host.
    Otherwise a worker on another host may join, as long as nothing that it needs is there.
    """

    def __init__(self, request: RunRequest, directory: RunDirectory, run_id: str, settings: Settings) -> None:
        self._directory = directory
        self._run_id = run_id
        self._settings = settings
        self._embedded = request.broker is None
        self._local = request.workers == "local"
        self._given = f"{absolute(request.payloads)}/{run_id}" if request.payloads is not None else None
        self._before: tuple[str, ...] = ()

    def remember(self, record: RunRecord | None) -> None:
        """The folders that an earlier execution of the run used; their files may still be needed."""
        self._before = tuple(record.payloads) if record is not None else ()

    @property
    def files(self) -> FileStore | None:
        """For the coordinator, which has other work to do while a store is unreachable."""
        return FileStore(self._urls[0], tuple(self._urls[1:])) if self._urls else None

    @property
    def recorded(self) -> list[str]:
        """For `run.json`: folders outside the run directory, the one in use first."""
        return [url for url in self._urls if url != str(self._directory.payloads)]

    @property
    def file_delay(self) -> float:
        """Seconds that a released file is kept."""
        delay = self._settings.store_delay
        return min(delay, EMBEDDED_DELAY) if self._embedded else delay

    def tell(self, options: RunOptions) -> RunOptions:
        """The options that workers get, including these folders."""
        of_size = self._in_use is not None or self._embedded
        shared = self._shared
        return replace(
            options,
            payloads=tuple(self._urls) if of_size or options.spill or len(self._urls) > 1 else (),
            payloads_of_size=of_size,
            artifacts=ArtifactFolders(
                local=str(self._directory.artifacts), shared=f"{shared}/{ARTIFACTS}" if shared else None
            ),
        )

    @property
    def artifacts(self) -> list[ArtifactStore]:
        """A run may have had workers of both kinds."""
        shared = [f"{url}/{ARTIFACTS}" for url in self.recorded]
        return [ArtifactStore(url) for url in (*shared, str(self._directory.artifacts))]

    def open(self) -> None:
        """Creates the folder in use and checks that it is usable.

        Raises:
            UsageError: it is not usable.
        """
        if not self._urls:
            return
        try:
            check_url(self._urls[0])
            FileStore(self._urls[0], patience=min(OPENING_SECONDS, self._settings.patience)).open(self._run_id)
        except StoreError as error:
            raise UsageError(f"--payloads: {error}" if self.recorded else str(error)) from error

    def remove(self) -> str:
        """Deletes the folders of a run that no longer needs them; returns the problem, if there is one."""
        problem = ""
        for url in self._urls:
            try:
                FileStore(url).remove()
            except StoreError as error:
                problem = f"unneeded files remain in {url}; `pipeline-coordinator rm` deletes them: {error}"
        return problem

    def start_over(self) -> str:
        """Deletes what earlier executions have left, see `remove`; afterwards the folder in use is empty and open."""
        problem = self.remove()
        self._before = ()
        self.open()
        return problem

    @property
    def _shared(self) -> str | None:
        """The folder that all hosts can reach: the one in the request, else the one that the run had."""
        return self._given or next(iter(self._before), None)

    @property
    def _in_use(self) -> str | None:
        """Which of these takes large rows: external workers continue with the one that the run had."""
        return self._given if self._local else self._shared

    @property
    def _urls(self) -> list[str]:
        own = str(self._directory.payloads)
        used = self._in_use or (own if self._local else None)
        if used is None:
            return []
        holds_some = False
        with suppress(OSError):
            holds_some = any(path.name != MARK for path in self._directory.payloads.iterdir())
        return list(dict.fromkeys((used, *self._before, *([own] if holds_some else []))))


def absolute(url: str) -> str:
    """Makes a path mean the same in every process: workers start elsewhere. Raises UsageError for an empty URL."""
    if not url.strip("/ "):
        raise UsageError(f"--payloads: '{url}' is not a folder; pass a path or an fsspec URL")
    url = url.rstrip("/")
    return url if "://" in url else str(Path(url).expanduser().absolute())
