"""OllamaLLM: models that Ollama serves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from common.errors import UsageError
from common.llms.apis.api import Api
from common.llms.apis.ollama_chat import OWN_OPTIONS, OllamaChat
from common.llms.openai import OpenAILLM
from common.parameters.runtime_parameters import RuntimeParameter
from common.words.faults import hint

_CHAT = OllamaChat()


class OllamaLLM(OpenAILLM):
    """`OpenAILLM` at an Ollama server: `host`, else OLLAMA_HOST, else this host. `host` is another name of `base_url`.

    A host is given as Ollama's own clients take it, such as `gpu-1:11434`. Options are those of chat completions, and
    `format` and `options` of Ollama as far as chat completions have them: `num_predict`, but not `num_ctx`.
    """

    _version: ClassVar[int] = 1

    tokenizer_id: RuntimeParameter[str] = Field(
        default=None, description="Accepted from distilabel, not used: the server applies the model's chat template."
    )
    follow_redirects: RuntimeParameter[bool] = Field(default=None, description="Accepted from distilabel, not used.")

    default_provider: ClassVar[str] = "ollama"
    url_env: ClassVar[str] = "OLLAMA_HOST"
    accepted_names: ClassVar[Mapping[str, str]] = {"host": "base_url"}

    def load(self) -> None:
        """See `EndpointLLM`."""
        for name in self.generation_kwargs.get("options") or {}:
            if name not in OWN_OPTIONS:
                raise UsageError(
                    f"generation_kwargs: chat completions have no option 'options.{name}'"
                    f"{hint(name, OWN_OPTIONS, 'there are')}; set others in the Modelfile of the model"
                )
        super().load()

    @property
    def _api(self) -> Api:
        return _CHAT if self.api == "chat" else super()._api

    @field_validator("base_url", mode="before")
    @classmethod
    def _with_its_scheme(cls, host: Any) -> Any:
        return _url_of(host) if isinstance(host, str) else host

    @property
    def _url(self) -> str:
        return _url_of(super()._url)


def _url_of(host: str) -> str:
    """`gpu-1` -> `http://gpu-1:11434/v1`."""
    url = host if "://" in host else f"http://{host}"
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    if not re.search(r":\d+$", place) and scheme == "http":
        place = f"{place}:11434"
    return f"{scheme}://{place}/{path.strip('/') or 'v1'}"
