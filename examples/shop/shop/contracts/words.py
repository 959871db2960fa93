"""The words that every contract uses. Money is whole cents, everywhere."""

from __future__ import annotations

import hashlib
from typing import Annotated

from headwater import Failure, Meta

__all__ = ["Cents", "CustomerId", "OrderId", "ProductId", "Quantity", "RequestId", "RequestReused", "id_of"]

Cents = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
ProductId = Annotated[str, Meta(min_length=1, max_length=64)]
CustomerId = Annotated[str, Meta(min_length=1, max_length=64)]
OrderId = Annotated[str, Meta(min_length=1, max_length=64)]
RequestId = Annotated[str, Meta(min_length=1, max_length=128)]
"""Chosen by the client. The same request, however often it is sent, happens once."""


class RequestReused(Failure, status=409):
    """The request id was used before, for something else."""

    request_id: str


def id_of(request_id: str) -> str:
    """Return the id of the order or return that a request makes: the same for every repeat of it."""
    return hashlib.sha256(request_id.encode()).hexdigest()[:24]
