"""Times and limits of the engine, with defaults for real runs. Tests shrink them; users may set them by environment."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import UsageError

ENVIRONMENT_PREFIX = "PENSTOCK_"


class Settings(BaseModel):
    """Each field may be set by the environment variable `PENSTOCK_<FIELD>`. Times are in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coordinator_lease: float = Field(default=15.0, gt=0, description="A coordinator silent for longer counts as dead.")
    worker_lease: float = Field(default=30.0, gt=0, description="A worker silent for longer counts as dead.")
    coordinator_timeout: float = Field(default=600.0, ge=0, description="How long workers wait for a coordinator.")
    grace: float = Field(default=30.0, ge=0, description="Time for batches in hand after a stop.")
    patience: float = Field(default=600.0, ge=0, description="How long to wait for a full disk or broker.")
    alone: float = Field(default=15.0, gt=0, description="A worker waits as long for an endpoint that others reach.")
    dispatch_slack: int = Field(default=64, ge=1, description="Batches that may wait in a step's stream.")
    step_backlog: int = Field(default=64, ge=1, description="Outputs of a step that may wait for its successors.")
    payload_budget: int = Field(default=512 << 20, ge=1, description="Bytes of payloads that may be in the broker.")
    payload_threshold: int = Field(default=256 << 10, ge=1, description="A larger payload goes to the payload store.")
    store_budget: int = Field(default=16 << 30, ge=1, description="Bytes of payloads that may be in the store.")
    store_delay: float = Field(default=300.0, ge=0, description="How long the store keeps released payloads.")
    part_rows: int = Field(default=2_000, ge=1, description="Fewest rows of a Parquet part.")
    part_bytes: int = Field(default=64 << 20, ge=1, description="Approximate bytes of a Parquet part.")
    flush_interval: float = Field(default=60.0, gt=0, description="Rows older than this are written to a part.")
    row_bytes: int = Field(default=64 << 20, ge=1, description="A row larger than this is a failed row.")
    answers_budget: int = Field(default=8 << 30, ge=0, description="Bytes of kept answers of models on a host.")
    answers_broker_budget: int = Field(default=256 << 20, ge=0, description="The same in a broker, with their keys.")
    answers_expiry: int = Field(default=30 * 86_400, gt=0, description="An answer in a broker unused for longer.")
    keep_finished: float = Field(default=7 * 86_400.0, gt=0, description="How long the broker keeps a finished run.")
    starting_hint: float = Field(default=5.0, ge=0, description="A step without a worker is named after this time.")
    devices: str | None = Field(default=None, description="The GPUs of this host, instead of nvidia-smi's list.")

    @classmethod
    def from_environment(cls) -> Settings:
        """Raises UsageError for an invalid value."""
        found = {
            field: value
            for field in cls.model_fields
            if (value := os.environ.get(ENVIRONMENT_PREFIX + field.upper())) is not None
        }
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            name = ENVIRONMENT_PREFIX + str(first["loc"][0]).upper()
            raise UsageError(f"{name}={first['input']}: {first['msg']}") from None

    @property
    def absence(self) -> float:
        """Seconds that a worker stays away that has left because it alone did not reach its endpoint."""
        return 4 * self.alone

    @property
    def coordinator_renewal(self) -> float:
        """Seconds between two renewals of the coordinator's lease."""
        return self.coordinator_lease / 3
