"""AzureOpenAILLM: OpenAI's models at an Azure endpoint."""

from __future__ import annotations

import os
import re
from typing import ClassVar
from urllib.parse import quote

from pydantic import Field, field_validator

from common.errors import UsageError
from common.llms.openai import OpenAILLM
from common.llms.providers import PROVIDERS, Provider
from common.parameters.runtime_parameters import RuntimeParameter

_AZURE = Provider("", "AZURE_OPENAI_API_KEY", renames=PROVIDERS["openai"].renames)
_BEFORE_RENAMES = Provider("", "AZURE_OPENAI_API_KEY")
_RENAMED_SINCE = "2024-12-01"
"""The first version of the API whose models, such as o1, take no `max_tokens`."""


class AzureOpenAILLM(OpenAILLM):
    """Calls a deployment of a model at an Azure endpoint.

    The endpoint is `base_url`, else AZURE_OPENAI_ENDPOINT, such as https://my-resource.openai.azure.com; the key comes
    from AZURE_OPENAI_API_KEY. With an `api_version`, also from OPENAI_API_VERSION, requests go to the deployment's own
    URL; without one, to the endpoint's `/openai/v1`.

    Everything else is as with `OpenAILLM`. A prompt that Azure's content filter stops fails its row.
    """

    _version: ClassVar[int] = 1

    api_version: RuntimeParameter[str] = Field(
        default=None, description="Version of Azure's API, such as 2024-10-21; default: that of OPENAI_API_VERSION."
    )
    deployment: RuntimeParameter[str] = Field(
        default=None, description="Name of the deployment, if it is not that of the model."
    )

    url_env: ClassVar[str] = "AZURE_OPENAI_ENDPOINT"

    @field_validator("provider")
    @classmethod
    def _is_known(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError("an Azure endpoint is no provider: set base_url, or the variable AZURE_OPENAI_ENDPOINT")
        return None

    def load(self) -> None:
        """See `EndpointLLM`."""
        if not self._url:
            raise UsageError(
                f"model '{self.model}' has no endpoint: set base_url, or the environment variable {self.url_env} on "
                "the worker's host, for example to https://my-resource.openai.azure.com"
            )
        super().load()

    @property
    def _url(self) -> str:
        return re.sub(r"(/openai)?(/v1)?/*$", "", self.base_url or os.environ.get(self.url_env, ""))

    @property
    def _request_url(self) -> str:
        version, url = self._version_there, self._url_without_password
        if not version:
            return f"{url}/openai/v1{self._api.path}"
        place = "" if self.api == "responses" else f"/deployments/{quote(self._model_there, safe='')}"
        return f"{url}/openai{place}{self._api.path}?api-version={quote(version, safe='')}"

    @property
    def _version_there(self) -> str:
        return self.api_version or os.environ.get("OPENAI_API_VERSION", "")

    @property
    def _model_there(self) -> str:
        return self.deployment or self.model

    @property
    def _provider(self) -> Provider:
        return _BEFORE_RENAMES if "" < self._version_there < _RENAMED_SINCE else _AZURE

    def _headers_of(self, key: str) -> dict[str, str]:
        return {"api-key": key}
