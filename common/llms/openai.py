"""OpenAILLM: any endpoint that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, Ollama, gateways...)."""

from __future__ import annotations

from typing import ClassVar

from common.llms.apis.api import Api
from common.llms.apis.chat_completions import ChatCompletions
from common.llms.endpoint_llm import EndpointLLM

_CHAT = ChatCompletions()


class OpenAILLM(EndpointLLM):
    """Calls `model` at an endpoint that speaks OpenAI's chat completions API.

    The endpoint is `base_url`, or a `provider` by its name, or OPENAI_BASE_URL, else OpenAI itself. The key comes from
    the worker's environment (`api_key_env`), never from a spec; an endpoint that is not OpenAI's may need none.

    While the endpoint is away or busy, rows wait, and no attempt of theirs is used up. A wrong key, model or option
    halts the run at the first row. A request that the endpoint will never answer, such as one that is too long, fails
    its row at once. A server error on one row, while others are answered, is retried as the step's `retries` say.
    """

    _version: ClassVar[int] = 1

    url_env: ClassVar[str] = "OPENAI_BASE_URL"

    @property
    def _api(self) -> Api:
        return _CHAT
