"""Adds an invoice up: a short example of a task type. Copy it, and put your own work in its place."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tasklib.payload import Limits
from tasklib.task_type import Attempt, task_type


@dataclass(frozen=True)
class Line:
    """One line of an invoice."""

    text: Annotated[str, Limits(1, 200), "What was sold."]
    price_cents: Annotated[int, Limits(0, 100_000_000), "Price of one piece in cents, before tax."]
    quantity: Annotated[int, Limits(1, 10_000), "How many pieces."] = 1


@dataclass(frozen=True)
class Invoice:
    """What to add up."""

    lines: Annotated[list[Line], Limits(1, 500), "What was sold."]
    currency: Annotated[Literal["EUR", "USD"], "Currency of all prices."] = "EUR"
    tax_percent: Annotated[int, Limits(0, 100), "Tax on the sum."] = 19


@task_type("invoice", payload=Invoice, time_limit_seconds=5)
def invoice(order: Invoice, attempt: Attempt) -> dict[str, Any]:  # noqa: ARG001 - it does the same in each attempt
    """The sum before tax, the tax and the total, in cents."""
    net = sum(line.price_cents * line.quantity for line in order.lines)
    tax = (net * order.tax_percent + 50) // 100  # half a cent is rounded up
    return {"netCents": net, "taxCents": tax, "totalCents": net + tax, "currency": order.currency}
