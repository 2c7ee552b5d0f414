"""AnthropicLLM: Claude, by Anthropic's Messages API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from common.llms.apis.anthropic_messages import AnthropicMessages
from common.llms.apis.api import Api
from common.llms.endpoint_llm import EndpointLLM
from common.parameters.runtime_parameters import RuntimeOption

_MESSAGES = AnthropicMessages()
_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_TAKES_A_FORM_SINCE = (4, 5)


class AnthropicLLM(EndpointLLM):
    """Calls `model` by Anthropic's Messages API, at Anthropic or at another endpoint that speaks it.

    The endpoint is `base_url`, else ANTHROPIC_BASE_URL, else Anthropic itself; with or without `/v1` at its end. The
    key comes from ANTHROPIC_API_KEY. The API's `thinking` blocks become the reasoning of an answer.

    Waits, failures and retries are those of `OpenAILLM`.
    """

    _version: ClassVar[int] = 1

    max_tokens: RuntimeOption[int] = Field(
        default=4096, ge=1, description="Most tokens of an answer, its thinking included; the API requires a limit."
    )

    default_provider: ClassVar[str] = "anthropic"
    url_env: ClassVar[str] = "ANTHROPIC_BASE_URL"

    @property
    def _api(self) -> Api:
        return _MESSAGES

    @property
    def _dialect(self) -> str:
        return "output_config" if _takes_a_form(self.model) else "anthropic"

    @property
    def _url(self) -> str:
        url = super()._url.rstrip("/")
        return url if re.search(r"/v\d+$", url) else f"{url}/v1"

    @property
    def _defaults(self) -> Mapping[str, Any]:
        return {"max_tokens": self.max_tokens}


def _takes_a_form(model: str) -> bool:
    """Whether a model answers in a form that a request states. Newer ones cannot be made to call a tool instead."""
    if found := _VERSION.search(model):
        return (int(found[1]), int(found[2] or 0)) >= _TAKES_A_FORM_SINCE
    return False
