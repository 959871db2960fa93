"""What the shop sells, and for how much."""

from __future__ import annotations

from typing import Annotated

from headwater import Command, Cursor, Meta, Page, Query, Value, contract
from shop.contracts.words import Cents, ProductId

__all__ = ["Price", "PricesOf", "Product", "ProductById", "PutProduct", "SearchProducts"]


class Product(Value):
    """One product at its current price."""

    product_id: str
    description: str
    price_cents: int


class Price(Value):
    """What one product costs now."""

    product_id: str
    price_cents: int


@contract("catalog.put", v=1)
class PutProduct(Command[Product]):
    """Add a product, or change its description and price. Doing it twice changes nothing."""

    product_id: ProductId
    description: Annotated[str, Meta(max_length=500)]
    price_cents: Cents


@contract("catalog.by_id", v=1, within="1s")
class ProductById(Query[Product | None]):
    """One product, None when the shop does not have it."""

    product_id: ProductId


@contract("catalog.search", v=1, within="2s", slo_p99="100ms", availability=0.999)
class SearchProducts(Query[Page[Product]]):
    """Products whose id or description contains the text, in order of their ids."""

    search: Annotated[str, Meta(max_length=100)] = ""
    after: Cursor | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


@contract("catalog.prices_of", v=1, within="1s")
class PricesOf(Query[tuple[Price, ...]]):
    """Current prices; a product that the shop does not have is left out."""

    product_ids: tuple[ProductId, ...]
