"""Older versions of contracts, bound at start to what serves the newer ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headwater.errors import ConfigurationError, DecodeError, InvalidMessage
from headwater.model.codec import Codec, field_error
from headwater.model.contract import Contract
from headwater.model.message import Event, Failure, Message
from headwater.model.module import Subscription
from headwater.model.upcast import EventUpcast, Upcast
from headwater.ports import Store
from headwater.runtime.answers import Answers
from headwater.runtime.bound import Run, Runs
from headwater.runtime.event_codec import Up
from headwater.runtime.scope import NodeCtx
from headwater.runtime.shapes import needs_check

__all__ = ["in_order", "older_events", "upcast_runs"]


def in_order(upcasts: Iterable[Upcast], handled: Mapping[type[Message], object]) -> list[Upcast]:
    """Return upcasts so that each stands behind the one that serves it. Raises ConfigurationError."""
    ordered = sorted(upcasts, key=lambda upcast: -upcast.old.version)
    known = {*handled, *(upcast.old.message for upcast in ordered)}
    for upcast in ordered:
        if upcast.up is None:
            raise ConfigurationError(
                f"upcast of {upcast.old.wire_name} says nothing: write .upcast(...).by(up=..., down=...)",
                where=upcast.where,
            )
        if upcast.old.message in handled:
            raise ConfigurationError(
                f"{upcast.old.wire_name} has a handler and an upcast; keep one of them", where=upcast.where
            )
        if upcast.new.message not in known:
            raise ConfigurationError(
                f"upcast of {upcast.old.wire_name}: nobody handles {upcast.new.wire_name}; add a handler",
                where=upcast.where,
            )
    return ordered


def upcast_runs(upcast: Upcast, newer: Runs, store: Store) -> Runs:
    """Compile an older version: the newer one's run, with message, answer and refusals turned.

    Answers that were kept while the older version still had a handler of its own are found, so that a repeat that
    comes after the change does nothing twice.
    """
    codec = Codec(upcast.new.message, upcast.new.wire_name) if needs_check(upcast.new.message) else None
    fills = upcast.new.idempotent if upcast.old.idempotent is None else None
    up, down, fails = upcast.up, upcast.down, upcast.fails
    kept = None if upcast.old.kind == "query" else _kept_by(upcast.old, store)
    assert up is not None
    assert down is not None

    def turned(message: Any, ctx: NodeCtx) -> Any:
        made = up(message)
        key = ctx.context.idempotency_key if fills is not None and ctx.depth == 0 else None
        if fills is not None and key is not None:  # the older version has no field for the key of the request
            made = msgspec.structs.replace(made, **{fills: key})
        return made if codec is None else _checked(codec, made)

    def around(run: Run) -> Run:
        async def older(message: Any, ctx: NodeCtx) -> Any:
            before = None if kept is None else kept.repeat(message, ctx)
            known = None if kept is None or before is None else await kept.find(before)
            if known is not None:
                return known[0]
            try:
                result = await run(turned(message, ctx), ctx)
            except Failure as failure:
                by = fails.get(type(failure))
                if by is None:
                    raise
                raise by(failure) from failure
            return down(result)

        return older

    return around(newer[0]), around(newer[1])


def _kept_by(contract: Contract, store: Store) -> Answers:
    return Answers(
        contract, store, Codec(contract.message, contract.wire_name),
        Codec(contract.result, f"answer of {contract.wire_name}"),
    )


def _checked(codec: Codec, made: Any) -> Any:
    """Judge an upcast message by the newer version's rules."""
    try:
        return codec.unpack(codec.pack(made))
    except DecodeError as error:
        raise InvalidMessage(codec.name, (field_error(error),)) from None


def older_events(
    subscription: Subscription, upcasts: Mapping[type[Message], EventUpcast]
) -> list[tuple[Contract, tuple[Up, ...], type[Event]]]:
    """Return the older events that a subscription receives through upcasts, and what each becomes."""
    found: list[tuple[Contract, tuple[Up, ...], type[Event]]] = []
    for first in upcasts.values():
        step: EventUpcast | None = first
        ups: list[Up] = []
        while step is not None and step.old.message not in subscription.handlers:
            ups.append(step.up)
            event: Any = step.new.message
            if event in subscription.handlers:
                found.append((first.old, tuple(ups), event))
                break
            step = upcasts.get(event)
    return found
