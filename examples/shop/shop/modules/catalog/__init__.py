"""What the shop sells, and for how much."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode

from headwater import Module, Tx, View
from shop.contracts.catalog import (
    BadCursor,
    Price,
    PricesOf,
    Product,
    ProductById,
    ProductPage,
    PutProduct,
    SearchProducts,
)

__all__ = ["catalog"]

catalog = Module("catalog", migrations="migrations")


@catalog.handle(PutProduct)
async def put(cmd: PutProduct, tx: Tx) -> Product:
    """Add a product, or change it."""
    await tx.execute(
        """insert into product (product_id, description, price_cents) values (:id, :description, :price)
        on conflict (product_id) do update set description = :description, price_cents = :price""",
        id=cmd.product_id, description=cmd.description, price=cmd.price_cents,
    )
    return Product(product_id=cmd.product_id, description=cmd.description, price_cents=cmd.price_cents)


@catalog.handle(ProductById)
async def by_id(query: ProductById, view: View) -> Product | None:
    """Find one product."""
    return await view.fetch_one(Product, "select * from product where product_id = :id", id=query.product_id)


@catalog.handle(PricesOf)
async def prices_of(query: PricesOf, view: View) -> tuple[Price, ...]:
    """Find the prices of several products."""
    found = await view.fetch_all(
        Price,
        "select product_id, price_cents from product where product_id in (select value from json_each(:ids))",
        ids=query.product_ids,
    )
    return tuple(found)


@catalog.handle(SearchProducts)
async def search(query: SearchProducts, view: View) -> ProductPage:
    """Find a page of products. The cursor is the last id seen, so no page is counted through."""
    found = await view.fetch_all(
        Product,
        r"""select * from product where product_id > :after
        and (:text = '' or product_id like :like escape '\' or description like :like escape '\')
        order by product_id limit :limit""",
        after=_opened(query.cursor), text=query.search, like=_like(query.search), limit=query.limit + 1,
    )
    items = tuple(found[: query.limit])
    more = len(found) > len(items)
    return ProductPage(items=items, next_cursor=_closed(items[-1].product_id) if more else None)


def _like(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


def _closed(product_id: str) -> str:
    return urlsafe_b64encode(product_id.encode()).decode()


def _opened(cursor: str | None) -> str:
    try:
        return b64decode((cursor or "").encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise BadCursor(cursor=cursor or "") from None
