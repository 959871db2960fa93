"""Send a plan in its order, wait for quiet, and hold the shop's figures against the plan's own.

The report counts everything the shop ever sold, and a replay may be begun again after a crash of either
side. What the report must say in the end is therefore

    what it said before  -  what of this plan was in it already  +  the plan's own sum

and what was in it already is asked of the shop, order by order: their ids follow from the request ids.
Nobody else may trade meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from shop.contracts.words import id_of
from shop.replay.client import Client, GaveUp
from shop.replay.reading import Figures, Line, Order, Plan, Return

__all__ = ["Outcome", "Progress", "replay"]

CONNECTIONS = 12
QUIET_SECONDS = 2.0
LOOK_SECONDS = 0.1

Progress = Callable[[int, str], None]
"""Called with the number of steps done and the day they belong to."""


@dataclass(slots=True)
class Outcome:
    """How it came out. `wrong` has one sentence for each difference."""

    expected: Figures
    found: Figures
    before: Figures
    lines: int
    refused: dict[str, int]
    seconds: float
    retries: int
    wrong: list[str] = field(default_factory=list[str])

    @property
    def exact(self) -> bool:
        """Whether nothing differs by a unit or a cent."""
        return not self.wrong

    def as_dict(self) -> dict[str, Any]:
        """Return it for a script."""
        return {"exact": self.exact, **asdict(self)}


def replay(
    plan: Plan, client: Client, *, speed: float | None, patience: float, progress: Progress
) -> Outcome:
    """Send everything and compare. Raises Refused and GaveUp.

    speed: how many times faster than the invoices' own clock; None for as fast as it goes.
    patience: seconds without any change after which the report is taken as final.
    """
    begun = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        run = _Run(client, pool)
        before = _report(client)
        there = Figures()
        if before != Figures():
            before, there = run.look_back(plan.steps, patience)
        run.send(plan, speed, progress)
        expected = Figures.of(plan.steps)
        found = _settled(client, before - there + expected, patience) - (before - there)
        if found != expected:
            run.name_unconfirmed(plan.steps)
    outcome = Outcome(
        expected=expected, found=found, before=before, lines=plan.lines, refused=dict(plan.refused),
        seconds=round(time.monotonic() - begun, 3), retries=client.retries, wrong=run.wrong,
    )
    for name, wanted in asdict(expected).items():
        if getattr(found, name) != wanted:
            outcome.wrong.append(f"{name}: the report has {getattr(found, name)}, the files have {wanted}")
    return outcome


def _report(client: Client) -> Figures:
    report: dict[str, int] = client.get("v1", "reports", "revenue") or {}
    return Figures(**report)


def _settled(client: Client, wanted: Figures, patience: float) -> Figures:
    """Return the report once it is as wanted and stays so, or has stood still while patience lasted."""
    last, since = _report(client), time.monotonic()
    while time.monotonic() - since < (QUIET_SECONDS / 2 if last == wanted else patience):
        time.sleep(LOOK_SECONDS)
        found = _report(client)
        if found != last:
            last, since = found, time.monotonic()
    return last


class _Run:
    """Knows the catalogue's prices, and what did not go as planned."""

    def __init__(self, client: Client, pool: ThreadPoolExecutor) -> None:
        self.wrong: list[str] = []
        self._client = client
        self._pool = pool
        self._products: dict[str, dict[str, Any]] = {}

    def look_back(self, steps: Sequence[Order | Return], patience: float) -> tuple[Figures, Figures]:
        """Return the report at a moment of quiet, and how much of it comes from these very steps.

        Raises GaveUp when the shop does not come to rest.
        """
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            before = _report(self._client)
            states = list(self._pool.map(self._state, steps))
            time.sleep(QUIET_SECONDS)
            if "pending" not in states and _report(self._client) == before:
                done = (step for step, state in zip(steps, states, strict=True) if state == "confirmed")
                return before, Figures.of(done)
        raise GaveUp(f"the shop is busy with something else for {patience:.0f} s: nothing was sent")

    def name_unconfirmed(self, steps: Sequence[Order | Return]) -> None:
        """Say which steps the shop did not bring to the end they should have come to."""
        for step, state in zip(steps, self._pool.map(self._state, steps), strict=True):
            if state != "confirmed":
                self.wrong.append(f"{step.request_id}: {state}")

    def _state(self, step: Order | Return) -> str:
        if isinstance(step, Return):
            return "confirmed" if self._client.get("v1", "returns", id_of(step.request_id)) else "unknown"
        found = self._client.get("v1", "orders", id_of(step.request_id))
        return str(found["status"]) if found else "unknown"

    def send(self, plan: Plan, speed: float | None, progress: Progress) -> None:
        """Send all steps, one after another."""
        if not plan.steps:
            return
        started, opened, day = time.monotonic(), plan.steps[0].at, ""
        for done, step in enumerate(plan.steps):
            if step.day != day:
                day = step.day
                self._stock(plan.needed(day), day)
            progress(done, day)
            if speed is not None:
                due = started + (step.at - opened).total_seconds() / speed
                time.sleep(max(0.0, due - time.monotonic()))
            if isinstance(step, Order):
                self._order(step)
            else:
                self._return(step)
        progress(len(plan.steps), day)

    def _stock(self, needed: dict[str, int], day: str) -> None:
        """Receive what a day's orders need, and learn what its products cost at the moment."""

        def receive(product_id: str) -> None:
            self._client.post(
                "v1", "stock", product_id, "receipts",
                body={"request_id": f"{day}/stock/{product_id}", "quantity": needed[product_id]},
            )
            if product_id not in self._products:
                self._products[product_id] = self._client.get("v1", "products", product_id) or {}

        for _ in self._pool.map(receive, needed):
            pass

    def _order(self, order: Order) -> None:
        for _ in self._pool.map(self._price, [line for line in order.lines if self._costs_other(line)]):
            pass
        body: dict[str, object] = {
            "request_id": order.request_id,
            "lines": [{"product_id": line.product_id, "quantity": line.quantity} for line in order.lines],
        }
        if order.customer_id:
            body["customer_id"] = order.customer_id
        answer = self._client.post("v1", "orders", body=body)
        self._compare(order, answer["total_cents"], Figures.of([order]).revenue_cents)

    def _costs_other(self, line: Line) -> bool:
        return self._products[line.product_id].get("price_cents") != line.price_cents

    def _price(self, line: Line) -> None:
        """Set a price; a product that has a description keeps it."""
        description = self._products[line.product_id].get("description") or line.description
        self._products[line.product_id] = self._client.put(
            "v1", "products", line.product_id,
            body={"description": description, "price_cents": line.price_cents},
        )

    def _return(self, step: Return) -> None:
        lines = [
            {"product_id": line.product_id, "quantity": line.quantity, "price_cents": line.price_cents}
            for line in step.lines
        ]
        answer = self._client.post("v1", "returns", body={"request_id": step.request_id, "lines": lines})
        self._compare(step, answer["refunded_cents"], Figures.of([step]).refunded_cents)

    def _compare(self, step: Order | Return, answered: int, summed: int) -> None:
        if answered != summed:
            self.wrong.append(f"{step.request_id}: the shop answers {answered} cents, the file has {summed}")
