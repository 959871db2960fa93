"""The application: which modules there are, and what the outside sees of them."""

from __future__ import annotations

from headwater import App, Pages
from shop.api import v1
from shop.modules.catalog import catalog
from shop.modules.customers import customers
from shop.modules.inventory import inventory
from shop.modules.orders import orders
from shop.modules.payments import payments
from shop.modules.reports import reports

__all__ = ["app"]

app = App(
    "shop", modules=[catalog, inventory, customers, orders, payments, reports], apis=[v1], pages=[Pages("/", "pages")]
)
