"""The requests to one Argilla server, by its documented HTTP API (version 2): https://docs.argilla.io."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import UsageError
from common.llms.calls.calling import Address, Endpoint, RequestRefused
from common.llms.calls.transport import Timeouts
from common.llms.calls.verdicts import KEY, ErrorReply, Rule
from common.words.faults import hint

_TRIES = 5
_TIMEOUTS = Timeouts(first_byte=120.0)
_RULES = (
    Rule("setup", (401, 401), None, KEY),
    Rule("setup", (403, 403), None, "the key's user may not do that: use a key of an owner or admin of the workspace"),
    Rule("setup", (404, 405), None, "api_url is not that of an Argilla 2 server, or the dataset was deleted meanwhile"),
    Rule("request", (409, 409)),
    Rule("request", (422, 422)),
)


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a dataset: a text that is shown."""

    name: str
    required: bool = True

    @property
    def body(self) -> dict[str, Any]:
        settings = {"type": "text", "use_markdown": False}
        return {"name": self.name, "title": self.name, "required": self.required, "settings": settings}


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of a dataset.

    Args:
        settings: its type, and what that needs.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    required: bool = True
    description: str | None = None

    @property
    def body(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "required": self.required,
            "settings": self.settings,
        }


@dataclass(frozen=True, slots=True)
class Form:
    """What a dataset must be like.

    Args:
        workspace: None for the first one of the key's user.
    """

    dataset: str
    workspace: str | None
    fields: Sequence[Column]
    questions: Sequence[Ask]


@dataclass(frozen=True, slots=True)
class PublishedDataset:
    """A dataset that takes records.

    Args:
        questions: name -> id.
    """

    id: str
    questions: Mapping[str, str] = field(default_factory=dict)


class ArgillaServer:
    """One server, asked with one key. It is waited for while it is away.

    Args:
        url: without the API's path.
        key_name: the environment variable of the key, for messages.
        headers: of each request, beside the key.
    """

    def __init__(self, url: str, shown: str, key: str, key_name: str, headers: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._shown = shown
        self._key = key
        self._key_name = key_name
        self._headers = {"content-type": "application/json", "x-argilla-api-key": key, **headers}

    def endpoint(self, method: str, path: str, asked: str) -> Endpoint:
        """The endpoint of one kind of requests.

        Args:
            asked: what they are about, for messages.
        """
        address = Address(
            url=f"{self._url}/api/v1/{path}",
            shown=f"Argilla at {self._shown}",
            model="",
            key_name=self._key_name,
            has_key=bool(self._key),
            headers=self._headers,
            rules=_RULES,
            secrets=[self._key, *(value for value in self._headers.values() if len(value) > 16)],
            method=method,
            asked=asked,
        )
        return Endpoint(address, _TIMEOUTS, _error_of)

    async def dataset(self, form: Form) -> PublishedDataset:
        """The dataset, created if it is missing, and completed if whoever created it died over it.

        Several workers may do so at once: what another one has created already is taken as it is.

        Raises:
            UsageError: there is no such workspace, the dataset cannot be created, or one of its name has another form.
        """
        workspace = await self._workspace(form.workspace)
        for again in range(1, _TRIES + 1):
            try:
                found = await self._find(form.dataset, workspace)
                if found is None:
                    body = {"name": form.dataset, "workspace_id": workspace}
                    found = await self._ask("POST", "datasets", f"the new dataset '{form.dataset}'", body)
                if found["status"] != "ready":
                    await self._complete(found["id"], form)
                return await self._checked(found["id"], form)
            except RequestRefused as error:
                if again == _TRIES:
                    raise UsageError(f"{error}; choose another dataset_name, or other names of columns") from None
                await asyncio.sleep(0.1 * 2**again)
        raise AssertionError

    async def _workspace(self, name: str | None) -> str:
        """The id of the workspace."""
        found = (await self._ask("GET", "me/workspaces", "the workspaces"))["items"]
        ids = {each["name"]: str(each["id"]) for each in found}
        if not ids:
            raise UsageError(f"the key for Argilla at {self._shown} has no workspace; create one in its settings")
        if name is not None and name not in ids:
            raise UsageError(f"Argilla at {self._shown} has no workspace '{name}'{hint(name, ids, 'it has')}")
        return ids[name] if name is not None else next(iter(ids.values()))

    async def _find(self, name: str, workspace: str) -> dict[str, Any] | None:
        found = (await self._ask("GET", "me/datasets", "the datasets"))["items"]
        return next((one for one in found if (one["name"], one["workspace_id"]) == (name, workspace)), None)

    async def _complete(self, dataset: str, form: Form) -> None:
        """Creates the fields and questions that are missing, and publishes the dataset."""
        for kind, wanted in (("fields", form.fields), ("questions", form.questions)):
            known = await self._names(dataset, kind)
            for one in wanted:
                if one.name not in known:
                    await self._ask("POST", f"datasets/{dataset}/{kind}", f"the {kind[:-1]} '{one.name}'", one.body)
        await self._ask("PUT", f"datasets/{dataset}/publish", f"the new dataset '{form.dataset}'")

    async def _checked(self, dataset: str, form: Form) -> PublishedDataset:
        fields = await self._names(dataset, "fields")
        questions = await self._names(dataset, "questions")
        names = {one.name for one in form.fields}
        for kind, known, wanted in (("field", fields, form.fields), ("question", questions, form.questions)):
            if missing := [one.name for one in wanted if one.name not in known]:
                raise UsageError(f"{self._exists(form)} no {kind} '{missing[0]}'; choose another dataset_name")
        if foreign := [name for name, one in fields.items() if one["required"] and name not in names]:
            raise UsageError(f"{self._exists(form)} the required field '{foreign[0]}'; choose another dataset_name")
        return PublishedDataset(dataset, {name: str(one["id"]) for name, one in questions.items()})

    def _exists(self, form: Form) -> str:
        return f"the dataset '{form.dataset}' of Argilla at {self._shown} already exists and has"

    async def _names(self, dataset: str, kind: str) -> dict[str, dict[str, Any]]:
        found = (await self._ask("GET", f"datasets/{dataset}/{kind}", f"the {kind} of a dataset"))["items"]
        return {one["name"]: one for one in found}

    async def _ask(self, method: str, path: str, asked: str, body: Mapping[str, Any] | None = None) -> Any:
        endpoint = self.endpoint(method, path, asked)
        await endpoint.open()
        try:
            return await endpoint.ask(body or {})
        finally:
            await endpoint.close()


def _error_of(reply: Any) -> ErrorReply:
    detail = reply.get("detail", reply)
    return ErrorReply(detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False))
