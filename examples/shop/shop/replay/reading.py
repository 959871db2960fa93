"""From files of invoice lines to what has to be sent. Decides everything, sends nothing.

Request ids follow from file, invoice and part, so that a replay begun again asks for the same things.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path

__all__ = ["Figures", "Line", "Order", "Plan", "Return", "cents", "files_of", "plan", "read"]


@dataclass(frozen=True, slots=True)
class Line:
    """One accepted line: so many units of a product at a price."""

    product_id: str
    description: str
    quantity: int
    price_cents: int


@dataclass(frozen=True, slots=True)
class Order:
    """What becomes one order. Each product occurs once, at the price that the catalogue must have first."""

    request_id: str
    day: str
    at: datetime
    customer_id: str | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Return:
    """What becomes one return."""

    request_id: str
    day: str
    at: datetime
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """What the revenue report says, or should say."""

    orders: int = 0
    units: int = 0
    revenue_cents: int = 0
    returned_units: int = 0
    refunded_cents: int = 0

    @staticmethod
    def of(steps: Iterable[Order | Return]) -> Figures:
        """Sum up by hand."""
        orders = units = revenue = returned = refunded = 0
        for step in steps:
            step_units = sum(line.quantity for line in step.lines)
            step_cents = sum(line.quantity * line.price_cents for line in step.lines)
            if isinstance(step, Order):
                orders, units, revenue = orders + 1, units + step_units, revenue + step_cents
            else:
                returned, refunded = returned + step_units, refunded + step_cents
        return Figures(orders, units, revenue, returned, refunded)

    def __add__(self, other: Figures) -> Figures:
        """Add figure by figure."""
        return Figures(
            self.orders + other.orders, self.units + other.units, self.revenue_cents + other.revenue_cents,
            self.returned_units + other.returned_units, self.refunded_cents + other.refunded_cents,
        )

    def __sub__(self, other: Figures) -> Figures:
        """Subtract figure by figure."""
        return self + Figures(
            -other.orders, -other.units, -other.revenue_cents, -other.returned_units, -other.refunded_cents
        )


@dataclass(slots=True)
class Plan:
    """Everything to be sent, in file order, and why some lines are not."""

    lines: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    steps: list[Order | Return] = field(default_factory=list[Order | Return])

    def needed(self, day: str) -> dict[str, int]:
        """Return the units of each product that the orders of a day take off the shelf."""
        units: defaultdict[str, int] = defaultdict(int)
        for step in self.steps:
            if step.day == day and isinstance(step, Order):
                for line in step.lines:
                    units[line.product_id] += line.quantity
        return dict(units)


@dataclass(slots=True)
class _Invoice:
    number: str
    day: str
    at: datetime
    customer_id: str | None
    lines: list[Line] = field(default_factory=list[Line])

    @property
    def is_return(self) -> bool:
        return self.number.startswith("C")


def files_of(folder: Path, days: str | None) -> list[Path]:
    """Return the files of a folder, oldest first: all, the first N, or those of the days named.

    Raises ValueError when there is nothing to read or a day is not there.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if not files:
        raise ValueError(f"{folder}: no .csv files here; give the folder that holds one file for each day")
    if days is None:
        return list(files.values())
    if days.isdecimal():
        return list(files.values())[: int(days)]
    wanted = [day.strip() for day in days.split(",")]
    missing = [day for day in wanted if day not in files]
    if missing:
        raise ValueError(f"{folder}: no file for {', '.join(missing)}; there are {', '.join(files)}")
    return [files[day] for day in sorted(set(wanted))]


def read(files: Sequence[Path]) -> Plan:
    """Read files. Raises ValueError naming file and line for what is not an invoice line."""
    return plan(row for path in files for row in _rows(path))


def _rows(path: Path) -> Iterator[tuple[str, int, dict[str, str]]]:
    with path.open(newline="", encoding="utf-8-sig") as text:
        for number, row in enumerate(csv.DictReader(text), start=2):
            yield path.stem, number, row


def plan(rows: Iterable[tuple[str, int, dict[str, str]]]) -> Plan:
    """Turn rows (day, line number, columns) into steps."""
    made = Plan()
    invoices: dict[str, _Invoice] = {}
    for day, number, row in rows:
        made.lines += 1
        try:
            invoice, line, reason = _judge(day, row, invoices)
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"{day}.csv:{number}: not an invoice line: {said}") from error
        if reason:
            made.refused[reason] += 1
        else:
            invoice.lines.append(line)
    for invoice in invoices.values():
        made.steps.extend(_steps(invoice))
    return made


def _judge(day: str, row: dict[str, str], invoices: dict[str, _Invoice]) -> tuple[_Invoice, Line, str]:
    """Return the invoice and the line of a row, and why it is refused, "" when it is not."""
    number = row["InvoiceNo"].strip()
    invoice = invoices.get(number)
    if invoice is None:
        customer = row["CustomerID"].strip().removesuffix(".0")
        at = datetime.fromisoformat(row["InvoiceDate"])
        invoice = invoices[number] = _Invoice(number, day, at, customer or None)
    product, description = row["StockCode"].strip(), row["Description"].strip()
    line = Line(product, description, int(row["Quantity"]), cents(row["UnitPrice"]))
    if not line.product_id:
        return invoice, line, "no product"
    if line.quantity == 0:
        return invoice, line, "quantity is 0"
    if line.quantity < 0 and not invoice.is_return:
        return invoice, line, "quantity is below 0, and the invoice is not a return"
    if line.price_cents <= 0:
        return invoice, line, "price rounds to 0 or less"
    return invoice, line, ""


def cents(price: str) -> int:
    """Return a price in whole cents, half to even."""
    return int((Decimal(price) * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def _steps(invoice: _Invoice) -> Iterator[Order | Return]:
    if not invoice.lines:
        return
    name = f"{invoice.day}/{invoice.number}"
    if invoice.is_return:
        back = tuple(replace(line, quantity=abs(line.quantity)) for line in invoice.lines)
        yield Return(f"{name}/return", invoice.day, invoice.at, back)
        return
    for part, lines in enumerate(_parts(invoice.lines)):
        yield Order(f"{name}/order-{part}", invoice.day, invoice.at, invoice.customer_id, lines)


def _parts(lines: Sequence[Line]) -> list[tuple[Line, ...]]:
    """Split by price: a product's first price goes into the first part, its second into the second."""
    parts: list[dict[str, Line]] = []
    for line in lines:
        for part in parts:
            known = part.get(line.product_id)
            if known is None:
                part[line.product_id] = line
                break
            if known.price_cents == line.price_cents:
                part[line.product_id] = replace(known, quantity=known.quantity + line.quantity)
                break
        else:
            parts.append({line.product_id: line})
    return [tuple(part.values()) for part in parts]
