"""What the outside world sees. It needs contracts only."""

from __future__ import annotations

from headwater import Api, public, role
from shop.contracts.catalog import ProductById, PutProduct, SearchProducts
from shop.contracts.inventory import ReceiveStock, ReturnById, ReturnGoods
from shop.contracts.orders import CancelOrder, OrderById, PlaceOrder
from shop.contracts.reports import RevenueReport

__all__ = ["v1"]

staff = role("staff")

v1 = Api("v1", auth=public)
v1.put("/products/{product_id}", PutProduct, auth=staff)
v1.get("/products/{product_id}", ProductById)
v1.get("/products", SearchProducts)
v1.post("/stock/{product_id}/receipts", ReceiveStock, auth=staff)
v1.post("/orders", PlaceOrder, status=201)
v1.get("/orders/{order_id}", OrderById)
v1.post("/orders/{order_id}/cancel", CancelOrder)
v1.post("/returns", ReturnGoods, auth=staff)
v1.get("/returns/{return_id}", ReturnById, auth=staff)
v1.get("/reports/revenue", RevenueReport)
