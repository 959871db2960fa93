"""The shop, and a module beside it that fails on purpose."""

from __future__ import annotations

from headwater import App, Module, Retry, Tx
from shop.app import app as shop
from shop.contracts.orders import OrderPlaced

gossip = Module("gossip")


@gossip.on(OrderPlaced, retry=Retry(attempts=1))
async def repeat(event: OrderPlaced, tx: Tx) -> None:
    """Fail for customers who ask for it, with words that a page must not obey."""
    if event.customer_id == "gossip":
        raise RuntimeError("<script>document.title = 'owned'</script><img src=x onerror=alert(1)>")


app = App("shop", modules=[*shop.modules, gossip], apis=shop.apis, pages=shop.pages)
