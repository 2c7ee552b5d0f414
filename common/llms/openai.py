"""OpenAILLM: any endpoint that speaks one of OpenAI's APIs (OpenAI, vLLM, llama.cpp, Ollama, gateways...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from common.llms.apis.api import Api
from common.llms.apis.chat_completions import ChatCompletions
from common.llms.apis.completions import Completions
from common.llms.apis.responses import Responses
from common.llms.endpoint_llm import EndpointLLM
from common.parameters.runtime_parameters import RuntimeOption

_APIS: Mapping[str, Api] = {"chat": ChatCompletions(), "completions": Completions(), "responses": Responses()}


class OpenAILLM(EndpointLLM):
    """Calls `model` at an endpoint that speaks OpenAI's chat completions API, or another one of its APIs.

    The endpoint is `base_url`, or a `provider` by its name, or OPENAI_BASE_URL, else OpenAI itself. The key comes from
    the worker's environment (`api_key_env`), never from a spec; an endpoint that is not OpenAI's may need none.

    `api: responses` is OpenAI's newer API; the first system messages become its instructions. `api: completions` is for
    base models: the prompt is the contents of all messages, a blank line between two, without roles. Options are
    those of the API; a limit of tokens is translated to the API's name for it.

    While the endpoint is away or busy, rows wait, and no attempt of theirs is used up. A wrong key, model or option
    halts the run at the first row. A request that the endpoint will never answer, such as one that is too long, fails
    its row at once. A server error on one row, while others are answered, is retried as the step's `retries` say.
    """

    _version: ClassVar[int] = 1

    api: RuntimeOption[Literal["chat", "completions", "responses"]] = Field(
        default="chat", description="Which of OpenAI's APIs the endpoint is asked by."
    )

    url_env: ClassVar[str] = "OPENAI_BASE_URL"

    @property
    def _api(self) -> Api:
        return _APIS[self.api]

    @property
    def continues_text(self) -> bool:
        return isinstance(self._api, Completions)

    @property
    def _dialect(self) -> str:
        return "openai" if self.api == "responses" else super()._dialect
