"""An Inference Endpoint on loopback, and the API that finds it by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.servers.api_server import Asked, Refused
from tests.support.servers.openai_server import OpenAIServer

TOKEN = "hf_secret1234567890"
FIELDS = {
    *("model", "messages", "stream", "stream_options", "max_tokens", "temperature", "top_p", "stop", "seed"),
    *("top_k", "repetition_penalty"),
}


@dataclass
class InferenceEndpointServer(OpenAIServer):
    """
    Attributes:
        starts_in: requests until an endpoint that is scaled to zero has started.
    """

    key: str = f"Bearer {TOKEN}"
    name: str = "me/mine"
    state: str = "running"
    has_url: bool = True
    starts_in: int = 0

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v2/endpoint/{namespace}/{name}", self.described)

    async def described(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != self.key:
            return web.json_response({"error": "Invalid credentials"}, status=401)
        if f"{request.match_info['namespace']}/{request.match_info['name']}" != self.name:
            return web.json_response({"error": "Endpoint not found"}, status=404)
        moment = "2026-01-01T00:00:00.000Z"
        status: dict[str, Any] = {"state": self.state, "createdAt": moment, "updatedAt": moment}
        model = {"repository": "org/model", "framework": "pytorch", "revision": "main", "task": "text-generation"}
        found = {"name": "mine", "type": "protected", "healthRoute": "/health", "model": model}
        return web.json_response({**found, "status": status | ({"url": self.url} if self.has_url else {})})

    def check(self, asked: Asked) -> None:
        if self.starts_in:
            self.starts_in -= 1
            raise Refused(503, "Service Unavailable")
        if asked.headers.get("authorization") != self.key:
            raise Refused(401, {"error": f"Invalid credentials: {asked.headers.get('authorization')}"})
        for name in asked.body.keys() - FIELDS:
            raise Refused(422, {"error": f"unknown field {name}", "error_type": "validation"})
        self.api_of(asked)
