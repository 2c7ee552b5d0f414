"""Which run a request asks for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from common.building.data_files import data_files
from common.building.signature import Identity
from common.code.source import Sources
from coordinator.identity.known_data import DataRecord, recognise
from coordinator.identity.request import RunRequest
from coordinator.plan.load import Prepared
from coordinator.view.view import Reporter


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The names that identify a run.

    Args:
        made_of: what its signature is computed from.
        data: what is known about its data files.
        sources: the code that was read for it.
    """

    run_id: str
    made_of: Identity
    data: DataRecord
    sources: Sources

    @classmethod
    def find(cls, request: RunRequest, prepared: Prepared, cache: Path, reporter: Reporter) -> RunIdentity:
        """Reads the code of the steps, and what distinguishes data files.

        Args:
            cache: holds the known runs.
            reporter: is told which data files were written to since a known run.
        """
        sources = Sources()
        files = data_files(prepared.steps)
        identity = Identity.of(prepared.spec, prepared.steps, prepared.routing, request.signed_options, files, sources)
        data = recognise(cache, identity.signature, prepared, files, reporter)
        run_id = request.run_id or f"{prepared.spec.name}-{data.signature[:12]}"
        if request.dry_run:
            run_id += f"-dry-{secrets.token_hex(3)}"
        return cls(run_id, identity, data, sources)

    @property
    def signature(self) -> str:
        """The signature of the pipeline and its data."""
        return self.data.signature
