"""What is asked of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line asks for, or a program.

    Args:
        spec: path of the file; None for a pipeline that was written in Python.
        broker: URL; None for the embedded broker.
        overrides: `step.param=value`.
        output: where the dataset goes as well; None for the run directory alone.
        overwrite: also in the place of another pipeline's dataset.
        fresh: forget what was done before.
        limit: rows of each generator, at most.
        allow: modules that steps may come from, beside the spec's folder.
        payloads: fsspec URL that all hosts reach, for payloads that are large or wait long.
        command: what a user types to do the same again; empty for the command line that these fields make.
        environment: variables for the local workers.
        push_to_hub: repository of the hub that the complete dataset goes to, such as `me/quotes`.
        standby: wait while another process coordinates the run, and take over when it is gone.
        private: make that repository a private one.
        run_id: the id of the run, in the place of the one that its signature makes.
    """

    spec: Path | None = None
    broker: str | None = None
    overrides: tuple[str, ...] = ()
    output: Path | None = None
    overwrite: bool = False
    cache_dir: Path | None = None
    fresh: bool = False
    workers: Literal["local", "external"] = "local"
    dry_run: bool = False
    limit: int | None = None
    allow: tuple[str, ...] = ()
    payloads: str | None = None
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    push_to_hub: str | None = None
    private: bool = False
    standby: bool = False
    run_id: str | None = None

    @property
    def signed_options(self) -> dict[str, Any]:
        """Those that change the rows, see `common.signature.Identity`."""
        return {"limit": self.limit, "dry_run": self.dry_run}
