"""ArgillaBase: the common part of steps that push rows to a dataset in Argilla."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, field_validator

from common.cells import words_of
from common.errors import RowError, UsageError
from common.llms.calls.calling import Endpoint, NotAnAnswer, RequestRefused
from common.parameters.runtime_parameters import RuntimeOption
from common.steps.argilla.server import ArgillaServer, Ask, Column, Form, PublishedDataset
from common.steps.base import AsyncStep, Row, RuntimeParameter

_URL_VARIABLE = "ARGILLA_API_URL"
_KEY_VARIABLE = "ARGILLA_API_KEY"
_ID = "id"


class BadRecord(RowError):
    """No record can be made of the row, however often it is tried."""


class ArgillaBase(AsyncStep):
    """Pushes each row as records of a dataset, which the first row creates if it is missing, and passes the row on.

    The id of a record is a digest of its content: a row that is pushed again, after a kill or by another run, finds its
    record, whose responses stay; so rows of equal content are one record. A server that is away is waited for.
    """

    final_errors: ClassVar[tuple[type[Exception], ...]] = (BadRecord, RequestRefused)

    dataset_name: RuntimeParameter[str] = Field(description="Name of the dataset in Argilla.")
    dataset_workspace: RuntimeParameter[str] = Field(
        default=None, description="Workspace of the dataset; by default the first one of the key's user."
    )
    api_url: RuntimeParameter[str] = Field(
        default=None, description=f"The server, such as http://localhost:6900; default: {_URL_VARIABLE}."
    )
    api_key: SecretStr | None = Field(
        default=None, exclude=True, description="For use in Python; omitted from every dump. Otherwise see api_key_env."
    )
    api_key_env: RuntimeOption[str] = Field(default=_KEY_VARIABLE, description="Environment variable with the key.")
    concurrency: RuntimeOption[int] = Field(default=8, ge=1, description="Rows in flight in each worker.")

    _lock: asyncio.Lock | None = PrivateAttr(default=None)
    _dataset: PublishedDataset | None = PrivateAttr(default=None)
    _records: Endpoint | None = PrivateAttr(default=None)

    @field_validator("api_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ValueError("api_url must be a URL, for example http://localhost:6900")
        return url

    @property
    @abstractmethod
    def _fields(self) -> Sequence[Column]:
        """The fields of the dataset beside the id of the instruction."""

    @property
    @abstractmethod
    def _questions(self) -> Sequence[Ask]:
        """The questions of the dataset."""

    @abstractmethod
    def _records_of(self, row: Row) -> list[dict[str, Any]]:
        """The records of a row, without their ids; suggestions by the names of their questions. Raises RowError."""

    def check_here(self) -> None:
        """Raises UsageError: there is no name, URL or key, or two fields have one name."""
        self._form()
        self._server()

    def load(self) -> None:
        """Raises as `check_here`."""
        self.check_here()

    async def aload(self) -> None:
        """Makes no request yet: the first row does."""
        self._lock = asyncio.Lock()

    async def aunload(self) -> None:
        """Closes all connections."""
        if self._records is not None:
            await self._records.close()
            self._records = None

    async def process_row(self, row: Row) -> Row:
        """Returns the row once its records are in the dataset.

        Raises:
            BadRecord: no record can be made of it.
            UsageError: no row can be pushed, such as with a wrong key.
            RowError: the server refuses its records.
        """
        try:
            records = self._records_of(row)
        except RowError as error:
            raise BadRecord(str(error)) from None
        endpoint, dataset = await self._opened()
        reply = await endpoint.ask({"items": [_with_ids(record, dataset) for record in records]})
        if not isinstance(reply, dict) or len(reply.get("items") or ()) != len(records):
            raise NotAnAnswer(f"Argilla took other records than the {len(records)} that were sent")
        return row

    async def _opened(self) -> tuple[Endpoint, PublishedDataset]:
        """The dataset, and where its records go."""
        assert self._lock is not None, "aload() comes first"
        async with self._lock:
            if self._records is None or self._dataset is None:
                server = self._server()
                self._dataset = await server.dataset(self._form())
                path = f"datasets/{self._dataset.id}/records/bulk"
                records = server.endpoint("PUT", path, f"records of the dataset '{self.dataset_name}'")
                await records.open()
                self._records = records
            return self._records, self._dataset

    def _form(self) -> Form:
        if not self.dataset_name:
            raise UsageError(f"step '{self.name}' has no dataset_name yet")
        fields = [Column(_ID), *self._fields]
        names = [field.name for field in fields]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(
                f"step '{self.name}': two fields of the dataset are called '{twice[0]}', since they are called as the "
                f"columns of the rows, and one is '{_ID}'; rename a column"
            )
        return Form(self.dataset_name, self.dataset_workspace, fields, self._questions)

    def _server(self) -> ArgillaServer:
        url = self.api_url or os.environ.get(_URL_VARIABLE, "")
        if not url:
            raise UsageError(f"step '{self.name}' has no server: set api_url, or {_URL_VARIABLE} on the worker's host")
        key = self.api_key.get_secret_value() if self.api_key else os.environ.get(self.api_key_env, "")
        if not key:
            raise UsageError(
                f"step '{self.name}' has no key for Argilla: set the environment variable {self.api_key_env} on the "
                "worker's host"
            )
        parts = urlsplit(url)
        token = os.environ.get("HF_TOKEN", "")
        is_private_space = token and (parts.hostname or "").endswith(".hf.space")
        headers = {"authorization": f"Bearer {token}"} if is_private_space else {}
        return ArgillaServer(
            url, parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), key, self.api_key_env, headers
        )

    def _named(self, column: str) -> str:
        """What a column is called in the dataset: as in the rows."""
        return self.input_mappings.get(column, column)

    def _instruction(self, row: Row) -> dict[str, str]:
        """The fields that both kinds of datasets have."""
        text = words_of(row, "instruction")
        return {_ID: hashlib.sha256(text.encode()).hexdigest(), self._named("instruction"): text}


def _with_ids(record: dict[str, Any], dataset: PublishedDataset) -> dict[str, Any]:
    """The record as the server takes it."""
    suggestions = [
        {"question_id": dataset.questions[name], "value": value} for name, value in record["suggestions"].items()
    ]
    content = json.dumps(record["fields"], sort_keys=True, ensure_ascii=False)
    return {
        "external_id": hashlib.sha256(content.encode()).hexdigest(),
        "fields": record["fields"],
        "suggestions": suggestions,
    }
