"""How the replay reads invoice lines: each rule on a few lines of text."""

from __future__ import annotations

from pathlib import Path

import pytest

from shop.replay.reading import Figures, Order, Plan, Return, cents, files_of, read

HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def planned(folder: Path, *lines: str, day: str = "2010-12-01") -> Plan:
    """Read lines of `invoice,product,quantity,price`."""
    rows = []
    for line in lines:
        invoice, product, quantity, price = line.split(",")
        rows.append(f'{invoice},{product},"A {product}, NICE",{quantity},{day} 08:26:00,{price},17850.0,Norway\n')
    (folder / f"{day}.csv").write_text(HEAD + "".join(rows))
    return read(sorted(folder.glob("*.csv")))


def told(plan: Plan) -> list[tuple[str, list[tuple[str, int, int]]]]:
    return [
        (step.request_id, [(line.product_id, line.quantity, line.price_cents) for line in step.lines])
        for step in plan.steps
    ]


def test_an_invoice_becomes_one_order_in_file_order(tmp_path: Path) -> None:
    """Lines keep their order, lines of one product at one price are summed, the customer is read as a number."""
    plan = planned(tmp_path, "1,B,2,2.55", "2,X,1,1", "1,A,1,3.39", "1,B,4,2.55")
    assert told(plan) == [
        ("2010-12-01/1/order-0", [("B", 6, 255), ("A", 1, 339)]),
        ("2010-12-01/2/order-0", [("X", 1, 100)]),
    ]
    first = plan.steps[0]
    assert isinstance(first, Order)
    assert (first.customer_id, first.lines[0].description) == ("17850", "A B, NICE")


def test_a_second_price_makes_a_follow_up_order(tmp_path: Path) -> None:
    """Lines of a product at its second price follow in a second order, at its third price in a third."""
    plan = planned(tmp_path, "1,A,1,1.00", "1,A,2,2.00", "1,B,5,9.00", "1,A,4,1.00", "1,A,8,3.00", "1,A,16,2.00")
    assert told(plan) == [
        ("2010-12-01/1/order-0", [("A", 5, 100), ("B", 5, 900)]),
        ("2010-12-01/1/order-1", [("A", 18, 200)]),
        ("2010-12-01/1/order-2", [("A", 8, 300)]),
    ]
    assert Figures.of(plan.steps) == Figures(orders=3, units=36, revenue_cents=5 * 100 + 4500 + 3600 + 2400)


def test_prices_that_round_alike_are_one_price(tmp_path: Path) -> None:
    """Two prices that are the same cents are not a second price."""
    assert told(planned(tmp_path, "1,A,1,2.554", "1,A,1,2.55")) == [("2010-12-01/1/order-0", [("A", 2, 255)])]


def test_a_c_invoice_becomes_one_return(tmp_path: Path) -> None:
    """Absolute quantities at line prices, nothing summed, and no order."""
    plan = planned(tmp_path, "C9,A,-2,2.55", "C9,A,-1,2.00", "C9,B,3,1.00", "C9,B,-1,0.00", "C9,B,0,1.00")
    assert told(plan) == [("2010-12-01/C9/return", [("A", 2, 255), ("A", 1, 200), ("B", 3, 100)])]
    assert isinstance(plan.steps[0], Return)
    assert Figures.of(plan.steps) == Figures(returned_units=6, refunded_cents=510 + 200 + 300)
    assert plan.refused.total() == 2
    assert plan.needed("2010-12-01") == {}


def test_refused_lines_are_counted_with_their_reason(tmp_path: Path) -> None:
    """Nothing is dropped in silence; an invoice of refused lines only is no order."""
    plan = planned(tmp_path, "1,A,0,1.00", "1,A,-3,1.00", "1,A,1,0.00", "1,A,1,0.005", "1,A,1,-5", "2,A,1,1.00")
    assert told(plan) == [("2010-12-01/2/order-0", [("A", 1, 100)])]
    assert plan.lines == 6
    assert plan.refused == {
        "quantity is 0": 1,
        "quantity is below 0, and the invoice is not a return": 1,
        "price rounds to 0 or less": 3,
    }


@pytest.mark.parametrize(
    ("price", "expected"),
    [("2.55", 255), ("0.005", 0), ("0.015", 2), ("0.025", 2), ("0.035", 4), ("1", 100), ("-0.5", -50), ("1.1e1", 1100)],
)
def test_cents_are_rounded_half_to_even(price: str, expected: int) -> None:
    """Decimal arithmetic: no binary fraction decides about a cent."""
    assert cents(price) == expected


def test_stock_is_counted_by_day(tmp_path: Path) -> None:
    """What a day's orders take, over all its orders, is what has to be received for it."""
    planned(tmp_path, "1,A,1,1.00", "1,A,2,2.00", "2,A,4,1.00", "C3,A,-9,1.00")
    plan = planned(tmp_path, "4,A,5,1.00", "4,B,6,1.00", day="2010-12-02")
    assert plan.needed("2010-12-01") == {"A": 7}
    assert plan.needed("2010-12-02") == {"A": 5, "B": 6}


def test_days_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    """All days, the first few, or those named; a day that is not there is refused by name."""
    for day in ("2010-12-03", "2010-12-01", "2010-12-02"):
        (tmp_path / f"{day}.csv").write_text(HEAD)
    assert [path.stem[-2:] for path in files_of(tmp_path, None)] == ["01", "02", "03"]
    assert [path.stem[-2:] for path in files_of(tmp_path, "2")] == ["01", "02"]
    assert [path.stem[-2:] for path in files_of(tmp_path, "2010-12-03,2010-12-01")] == ["01", "03"]
    with pytest.raises(ValueError, match="no file for 2010-12-09"):
        files_of(tmp_path, "2010-12-09")
    with pytest.raises(ValueError, match="no .csv files"):
        files_of(tmp_path / "none", None)


def test_what_is_not_an_invoice_line_is_named(tmp_path: Path) -> None:
    """A damaged line stops the reading with file and line: guessing would make the sums worthless."""
    with pytest.raises(ValueError, match=r"2010-12-01.csv:3: not an invoice line"):
        planned(tmp_path, "1,A,1,1.00", "1,A,many,1.00")
