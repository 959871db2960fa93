"""The arrows that an application's code could send, from its contracts and sources: also those that nobody has used."""

from __future__ import annotations

from headwater.model.app import App
from headwater.model.contract import contract_of
from headwater.ops.dashboard.seen import OUTSIDE, Arrow
from headwater.topology.boundaries import handlers_of, sources_of
from headwater.topology.explain import _sent

__all__ = ["arrows_of", "event_name"]


def arrows_of(app: App) -> tuple[Arrow, ...]:
    """Return every arrow, with nothing counted on it."""
    sources = sources_of(app)
    found: dict[Arrow, None] = {}
    for api in app.apis:
        for route in api.routes:
            contract = route.contract
            found[Arrow(source=OUTSIDE, target=contract.module, name=contract.wire_name, kind="request")] = None
    for module in app.modules:
        for handler in handlers_of(module):
            for called in _sent(handler, sources, ("call", "ask", "send")):
                found[Arrow(source=module.name, target=called.module, name=called.wire_name, kind="call")] = None
        for subscription in module.subscriptions.values():
            for message in subscription.handlers:
                event = contract_of(message)
                name = event_name(event.wire_name, subscription.name)
                found[Arrow(source=event.module, target=module.name, name=name, kind="event")] = None
    return tuple(found)


def event_name(event: str, subscription: str) -> str:
    """Return what the arrow of an event to one of its subscriptions is called."""
    return f"{event} to {subscription}"
