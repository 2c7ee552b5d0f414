"""The bill of a run at any moment: what the journal says is kept, and what workers have noted as spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from common.broker.connection import Connection
from common.broker.spending import read_spent
from common.llms.prices import Price, Prices
from common.spec.spec import PipelineSpec
from coordinator.engine.session import Session
from coordinator.runs.bill import Bill


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
    """The table of prices, with those of a pipeline."""
    return Prices({model: Price(price.input, price.output, price.cached) for model, price in spec.prices.items()})
