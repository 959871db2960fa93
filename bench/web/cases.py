"""What is asked of every contender: one set of bytes for all, the bearer token included."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "KEY", "PURE", "STORED", "TOKEN", "Case", "Sync"]

Sync = str  # SQLite's `synchronous`: "full" or "normal"
KEY = "the benchmark's key, known to everybody who reads this file"


def _token() -> str:
    def packed(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = {"alg": "HS256", "kid": "bench", "typ": "JWT"}
    claims = {"sub": "bench", "iat": 1_700_000_000, "exp": 4_000_000_000}
    parts: tuple[dict[str, Any], ...] = (head, claims)
    body = ".".join(packed(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{body}.{packed(hmac.digest(KEY.encode(), body.encode(), hashlib.sha256))}"


TOKEN = _token()
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
# Eleven headers, besides Host: what a browser sends through a proxy that traces.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0",
    "Accept": "application/json, text/plain, */*",
    "Accept-Language": "en-GB,en;q=0.9",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "https://shop.example/products",
    "Cookie": "session=0123456789abcdef0123456789abcdef; theme=dark",
    "Cache-Control": "no-cache",
    "X-Request-Id": "0af7651916cd43dd8448eb211c80319c",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    "Sec-Fetch-Mode": "cors",
    **AUTHORIZED,
}
LINES = [{"product_id": f"product-{n}", "quantity": n + 1, "price_cents": 199 + n} for n in range(5)]
ORDER: dict[str, Any] = {"order_id": "order-000000001", "customer_id": "customer-0001", "lines": LINES}
TOTAL = sum((n + 1) * (199 + n) for n in range(5))


@dataclass(frozen=True)
class Case:
    """One kind of request.

    answer: what everybody answers, as JSON. wrong: a request that everybody refuses, as path and body. spread: the
    path ends with a number from 1 to this. sync: how the store is told to commit.
    """

    title: str
    path: str
    answer: Any
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: AUTHORIZED)
    wrong: tuple[str, str] | None = None
    spread: int = 0
    sync: Sync = "full"


_BAD = json.dumps({**ORDER, "lines": [{**LINES[0], "quantity": 0}]})
_ORDER = json.dumps(ORDER)
_STORED = {"order_id": ORDER["order_id"]}
CASES = {
    "hello": Case("hello", "/v1/hello", {"message": "Hello, World!"}),
    "order": Case(
        "order of 5 lines, validated", "/v1/orders",
        {"order_id": ORDER["order_id"], "total_cents": TOTAL, "lines": 5}, _ORDER, wrong=("/v1/orders", _BAD),
    ),
    "item": Case(
        "path + query, 11 headers", "/v1/items/42?q=shoes&limit=20", {"item_id": 42, "q": "shoes", "limit": 20},
        headers=BROWSER, wrong=("/v1/items/42?q=shoes&limit=1000", ""),
    ),
    "row": Case(
        "SQLite row by key", "/v1/rows/", {"id": 1, "name": "item 1", "price_cents": 7}, spread=10_000,
        wrong=("/v1/rows/999999", ""),
    ),
    "full": Case("order + outbox, FULL", "/v1/stored", _STORED, _ORDER, wrong=("/v1/stored", _BAD)),
    "normal": Case("order + outbox, NORMAL", "/v1/stored", _STORED, _ORDER, wrong=("/v1/stored", _BAD), sync="normal"),
}
PURE = ("hello", "order", "item")
STORED = ("row", "full", "normal")
