"""What a client's requests have in common, worked out once for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from common.llms.answers.request_key import Family
from common.llms.apis.api import Api
from common.llms.messages import ChatMessage
from common.llms.structured.told_form import ToldForm


@dataclass(frozen=True, slots=True)
class Spelling:
    """How an endpoint names the options of a call, where that is not how its API does.

    Args:
        renames: name of the API -> name there.
        omits: what a request there must not have.
    """

    renames: Mapping[str, str]
    omits: frozenset[str]


@dataclass(frozen=True, slots=True)
class Requests:
    """Writes the requests of one client. Pure.

    Args:
        family: what makes them the same as those of other clients.
        model: its name at the endpoint.
        options: of the client, as its user spells them; those of a call take precedence.
        usual: the same as the endpoint spells them, with what demands the form of an answer.
    """

    api: Api
    family: Family
    model: str
    told: ToldForm
    spelling: Spelling
    options: Mapping[str, Any]
    usual: Mapping[str, Any]

    @classmethod
    def of(
        cls, api: Api, family: Family, model: str, told: ToldForm, spelling: Spelling, options: Mapping[str, Any]
    ) -> Self:
        """Those of a client."""
        return cls(api, family, model, told, spelling, options, _spelled(api, told, spelling, options))

    def body(self, messages: list[ChatMessage], options: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request.

        Raises:
            ValueError: the API cannot carry such messages.
        """
        usual = self.usual
        if any(name not in self.options or self.options[name] is not value for name, value in options.items()):
            usual = _spelled(self.api, self.told, self.spelling, {**self.options, **options})
        request = self.api.request(self.model, self.told.stated(messages), usual)
        omits = self.spelling.omits
        return {name: value for name, value in request.items() if name not in omits} if omits else request


def _spelled(api: Api, told: ToldForm, spelling: Spelling, options: Mapping[str, Any]) -> dict[str, Any]:
    spelled: dict[str, Any] = {}
    for name, value in options.items():
        usual = api.spellings.get(name, name)
        spelled[spelling.renames.get(usual, usual)] = value
    return told.added(spelled, api.options)
