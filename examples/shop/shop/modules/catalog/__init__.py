"""What the shop sells, and for how much."""

from __future__ import annotations

from headwater import Module, Page, Tx, View, page
from shop.contracts.catalog import (
    Price,
    PricesOf,
    Product,
    ProductById,
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
async def search(query: SearchProducts, view: View) -> Page[Product]:
    """Find a page of products."""
    return await page(
        view, Product,
        r"""select * from product
        where :text = '' or product_id like :like escape '\' or description like :like escape '\'""",
        order=("product_id",), after=query.after, limit=query.limit, text=query.search, like=_like(query.search),
    )


def _like(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
