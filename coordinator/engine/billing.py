"""The bill of a run at any moment: what the journal says is kept, and what workers have noted as spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from common.broker.connection import Connection
from common.broker.spending import read_spent
from common.llms.price_table import HOSTED, Price
from common.llms.prices import Prices
from common.llms.providers import name_at
from common.spec.spec import PipelineSpec
from coordinator.engine.session import Session
from coordinator.runs.bill import Bill

_PROVIDERS_OF_CLASSES = {"GroqLLM": "groq", "TogetherLLM": "together"}


@dataclass(frozen=True, slots=True)
class Billing:
    """Makes bills of one run."""

    connection: Connection
    run_id: str
    prices: Prices

    @classmethod
    def of(cls, connection: Connection, run_id: str, spec: PipelineSpec) -> Self:
        """With the prices of the pipeline."""
        return cls(connection, run_id, prices_of(spec))

    def bill(self, session: Session) -> Bill:
        """So far.

        Raises:
            Disconnected: the broker is unreachable.
        """
        counts = {name: state.counts for name, state in session.manager.steps.items()}
        spent = read_spent(self.connection, self.run_id)
        return Bill.make(
            {name: one.usage for name, one in counts.items()},
            {name: one.saved for name, one in counts.items()},
            spent.steps,
            self.prices,
            is_lower_bound=spent.is_lower_bound,
        )


def prices_of(spec: PipelineSpec) -> Prices:
    """The table of prices, with those of the hosts that a pipeline asks, and its own."""
    own = {model: Price(price.input, price.output, price.cached) for model, price in spec.prices.items()}
    return Prices({**_hosted(spec), **own})


def _hosted(spec: PipelineSpec) -> dict[str, Price]:
    """Prices of open models, each at the one host where a pipeline asks it."""
    hosts: dict[str, set[str]] = {}
    for step in spec.steps.values():
        for client in _clients(step.params):
            hosts.setdefault(str(client["model"]), set()).add(_host(client))
    prices = {model: HOSTED.get(host, {}).get(model) for model, (host, *others) in hosts.items() if not others}
    return {model: price for model, price in prices.items() if price is not None}


def _clients(value: Any) -> Iterator[Mapping[str, Any]]:
    """What has a type and a model, at any depth: a step has one client, or a list of them."""
    if isinstance(value, Mapping):
        if "type" in value and "model" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _clients(each)


def _host(client: Mapping[str, Any]) -> str:
    """The name of a client's provider; empty for any other endpoint."""
    if url := client.get("base_url"):
        return name_at(urlsplit(str(url)).hostname) or ""
    return str(client.get("provider") or _PROVIDERS_OF_CLASSES.get(client["type"], ""))
