"""A server on loopback that speaks what clients of Argilla 2 ask for datasets and records."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

from tests.support.servers.api_server import KEY

_NAME = re.compile(r"(?=.*[a-z0-9])[a-z0-9_-]+")
"""Of fields and questions."""
_MOST_RECORDS = 500
_TIME = "2026-01-01T00:00:00"


class Refused(Exception):
    def __init__(self, status: int, detail: Any) -> None:
        self.status, self.detail = status, detail
        super().__init__(status, detail)


@dataclass
class Dataset:
    """A dataset of the server; `records` by their external ids."""

    name: str
    workspace_id: str
    id: str = field(default_factory=lambda: str(uuid4()))
    status: str = "draft"
    fields: list[dict[str, Any]] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "workspace_id": self.workspace_id,
            "status": self.status,
            "guidelines": None,
            "allow_extra_metadata": True,
            "distribution": {"strategy": "overlap", "min_submitted": 1},
        }


@dataclass
class ArgillaServer:
    """Its state.

    Attributes:
        asked: (method, path, body) of each request, and `keys`: the keys that came with them.
        script: statuses of the next requests, in place of what they would get; 0 is no fault.
    """

    url: str = ""
    workspaces: dict[str, str] = field(default_factory=lambda: {name: str(uuid4()) for name in ("argilla", "team")})
    datasets: list[Dataset] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    script: deque[int] = field(default_factory=deque)

    def dataset(self, name: str) -> Dataset:
        (found,) = (dataset for dataset in self.datasets if dataset.name == name)
        return found

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body))
        self.keys.add(request.headers.get("X-Argilla-Api-Key"))
        try:
            if request.headers.get("X-Argilla-Api-Key") != KEY:
                raise Refused(401, {"code": "argilla.api.errors::UnauthorizedError"})
            if self.script and (status := self.script.popleft()):
                raise Refused(status, f"scripted {status}")
            status, answer = self.answer(request.method, request.path.removeprefix("/api/v1"), body)
        except Refused as refused:
            return web.json_response({"detail": refused.detail}, status=refused.status)
        return web.json_response(answer, status=status)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        match method, path.strip("/").split("/"):
            case "GET", ["me"]:
                return 200, {"id": str(uuid4()), "username": "owner", "first_name": "O", "role": "owner"}
            case "GET", ["me", "workspaces"]:
                return 200, {"items": [self.workspace(name) for name in self.workspaces]}
            case "GET", ["workspaces", id]:
                return 200, self.workspace(next(name for name, known in self.workspaces.items() if known == id))
            case "GET", ["me", "datasets"]:
                return 200, {"items": [dataset.shown for dataset in self.datasets]}
            case "POST", ["datasets"]:
                return 201, self.create(body).shown
            case "GET", ["me", "datasets", _, "metadata-properties"]:
                return 200, {"items": []}
            case _, ["datasets", id, *rest]:
                found = next((dataset for dataset in self.datasets if dataset.id == id), None)
                if found is None:
                    raise Refused(404, {"code": "argilla.api.errors::EntityNotFoundError"})
                return self.of_dataset(method, found, rest, body)
        raise Refused(404, "Not Found")

    def workspace(self, name: str) -> dict[str, Any]:
        return {"id": self.workspaces[name], "name": name, "inserted_at": _TIME, "updated_at": _TIME}

    def create(self, body: dict[str, Any]) -> Dataset:
        name, workspace = body["name"], body["workspace_id"]
        if workspace not in self.workspaces.values():
            raise Refused(422, f"Workspace with id `{workspace}` not found")
        if any((dataset.name, dataset.workspace_id) == (name, workspace) for dataset in self.datasets):
            raise Refused(409, f"Dataset with name `{name}` already exists for workspace with id `{workspace}`")
        self.datasets.append(Dataset(name, workspace))
        return self.datasets[-1]

    def of_dataset(self, method: str, dataset: Dataset, rest: list[str], body: Any) -> tuple[int, Any]:
        match method, rest:
            case "GET" | "PATCH", []:
                return 200, dataset.shown
            case "GET", ["fields"]:
                return 200, {"items": dataset.fields}
            case "GET", ["questions"]:
                return 200, {"items": dataset.questions}
            case "GET", ["vectors-settings"]:
                return 200, {"items": []}
            case "POST", ["fields" | "questions" as kind]:
                return 201, self.define(dataset, kind, body)
            case "PUT", ["publish"]:
                if (
                    dataset.status == "ready"
                    or not dataset.questions
                    or not any(one["required"] for one in dataset.fields)
                ):
                    raise Refused(422, "Dataset cannot be published")
                dataset.status = "ready"
                return 200, dataset.shown
            case "PUT", ["records", "bulk"]:
                return 200, self.upsert(dataset, body["items"])
        raise Refused(404, "Not Found")

    def define(self, dataset: Dataset, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        known = dataset.fields if kind == "fields" else dataset.questions
        if dataset.status == "ready":
            raise Refused(422, f"{kind} cannot be created for a published dataset")
        if not _NAME.fullmatch(body["name"]):
            raise Refused(422, [{"loc": ["body", "name"], "msg": f"string does not match regex: {body['name']}"}])
        if any(one["name"] == body["name"] for one in known):
            raise Refused(409, f"{kind} with name `{body['name']}` already exists")
        known.append({**body, "id": str(uuid4()), "dataset_id": dataset.id})
        return known[-1]

    def upsert(self, dataset: Dataset, items: list[dict[str, Any]]) -> dict[str, Any]:
        if dataset.status != "ready":
            raise Refused(422, "Records cannot be created for a non published dataset")
        if not 1 <= len(items) <= _MOST_RECORDS:
            raise Refused(422, "wrong number of items")
        updated = []
        questions = {question["id"]: question for question in dataset.questions}
        for item in items:
            self.check(dataset, item, questions)
        for item in items:
            external = item.get("external_id") or str(uuid4())
            known = dataset.records.get(external)
            updated += [known["id"]] if known else []
            suggestions = dict(known["suggestions"]) if known else {}
            suggestions |= {
                questions[one["question_id"]]["name"]: one["value"] for one in item.get("suggestions") or ()
            }
            dataset.records[external] = {
                "id": known["id"] if known else str(uuid4()),
                "fields": item["fields"],
                "suggestions": suggestions,
            }
        shown = [
            {"id": record["id"], "fields": record["fields"], "external_id": external, "dataset_id": dataset.id}
            for external, record in dataset.records.items()
        ]
        return {"items": shown[-len(items) :], "updated_item_ids": updated}

    def check(self, dataset: Dataset, item: dict[str, Any], questions: dict[str, dict[str, Any]]) -> None:
        names = {one["name"]: one["required"] for one in dataset.fields}
        for name, required in names.items():
            if required and not item["fields"].get(name):
                raise Refused(422, f"missing required value for field: '{name}'")
        for name in item["fields"]:
            if name not in names:
                raise Refused(422, f"found fields values for non configured fields: ['{name}']")
        for one in item.get("suggestions") or ():
            question = questions.get(one["question_id"])
            if question is None:
                raise Refused(422, f"question with question_id={one['question_id']} does not exist")
            options = [option["value"] for option in question["settings"].get("options", ())]
            if options and one["value"] not in options:
                raise Refused(422, f"{one['value']!r} is not a valid option of {options}")


@asynccontextmanager
async def serving_argilla() -> AsyncIterator[ArgillaServer]:
    """Serves it on a port of its own."""
    server = ArgillaServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
