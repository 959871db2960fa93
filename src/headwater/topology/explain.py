"""The whole chain of a contract: who may ask, who answers, what it touches and what follows from it."""

from __future__ import annotations

import ast
import typing
from typing import Any

from headwater.model.app import App
from headwater.model.contract import Contract
from headwater.model.module import Handler, Module
from headwater.topology.boundaries import (
    Function,
    Source,
    handlers_of,
    messages_named,
    messages_sent,
    sources_of,
)

__all__ = ["explain", "known_names"]


def known_names(app: App) -> list[str]:
    """Every name that `explain` knows."""
    return sorted({name for c in messages_named(app) for name in (c.name, c.wire_name)})


def explain(app: App, name: str) -> list[dict[str, Any]]:
    """Return the chain of a contract, one entry for each of its versions; empty for an unknown name."""
    sources = sources_of(app)
    found = sorted((c for c in messages_named(app) if name in (c.name, c.wire_name)), key=lambda c: c.version)
    return [_chain(app, contract, sources) for contract in found]


def _chain(app: App, contract: Contract, sources: list[Source]) -> dict[str, Any]:
    module = next((m for m in app.modules if m.name == contract.module), None)
    handler, through = _handler(module, contract) if module else (None, [])
    emits = _sent(handler, sources, ("emit",)) if handler else [contract] if contract.kind == "event" else []
    return {
        "contract": contract.wire_name, "kind": contract.kind, "module": contract.module,
        "class": f"{contract.message.__module__}.{contract.message.__qualname__}",
        "within_seconds": contract.within, "idempotent": contract.idempotent, "key": contract.key,
        "fails": [{"name": f.__failure_name__, "status": f.__failure_status__} for f in contract.fails],
        "routes": [
            {
                "method": r.method, "path": r.path, "status": r.status, "auth": repr(r.auth) if r.auth else None,
                "reads": "strict: unknown and duplicate fields are refused", "where": r.where,
            }
            for a in app.apis for r in a.routes if r.contract is contract
        ],
        "layers": [*_layers(contract, handler), *through] if handler else [],
        "handler": {"function": handler.function.__qualname__, "where": handler.where} if handler else None,
        "data": _data(handler, module) if handler and module else None,
        "calls": [c.wire_name for c in _sent(handler, sources, ("call", "ask"))] if handler else [],
        "sends": [c.wire_name for c in _sent(handler, sources, ("send",))] if handler else [],
        "emits": [{"event": e.wire_name, "key": e.key, "subscriptions": _subscribers(app, e)} for e in emits],
        "emitted_by": _emitters(app, contract, sources) if contract.kind == "event" else [],
        "uses": list(module.uses) if module else [],
    }


def _handler(module: Module, contract: Contract) -> tuple[Handler | None, list[str]]:
    """Return what handles a contract, and the versions that lead there."""
    through: list[str] = []
    message = contract.message
    while message not in module.handlers and message in module.upcasts:
        newer = module.upcasts[message].new
        through.append(f"upcast to {newer.wire_name} ({module.upcasts[message].where})")
        message = newer.message
    return module.handlers.get(message), through


def _layers(contract: Contract, handler: Handler) -> list[str]:
    layers = [f"deadline {contract.within:g} s"]
    if contract.idempotent:
        layers.append(f"idempotency by {contract.idempotent}")
    if not handler.function.__code__.co_flags & 0x80:  # a plain def
        layers.append("thread pool")
    return layers


def _data(handler: Handler, module: Module) -> str:
    if handler.contract.kind == "query":
        return f"view: one read-only snapshot of {module.name}.db"
    hints = typing.get_type_hints(handler.function, localns=dict(handler.names))
    if any(getattr(kind, "__name__", "") == "Tx" for kind in hints.values()):
        return f"transaction on {module.name}.db: opens with the first statement, commits on return with its events"
    return "none"


def _sent(handler: Handler, sources: list[Source], verbs: tuple[str, ...]) -> list[Contract]:
    """What a handler sends, itself or through the functions of its file that it calls by name."""
    for source in sources:
        start = source.function_of(handler)
        if start is None:
            continue
        names = {**handler.function.__globals__, **handler.names}
        by_name = {f.name: f for f in source.functions}
        waiting: list[Function] = [start]
        sent: dict[Contract, None] = {}
        for function in waiting:
            sent |= dict.fromkeys(c for _, c in messages_sent(function, names, verbs))
            called = (n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))
            waiting += [by_name[n] for n in called if n in by_name and by_name[n] not in waiting]
        return list(sent)
    return []


def _subscribers(app: App, event: Contract) -> list[dict[str, str]]:
    return [
        {"name": s.name, "kind": "projection" if s.tables else "subscription", "where": handler.where}
        for m in app.modules for s in m.subscriptions.values() for handler in s.handlers.values()
        if handler.contract is event
    ]


def _emitters(app: App, event: Contract, sources: list[Source]) -> list[dict[str, str]]:
    return [
        {"contract": h.contract.wire_name, "where": h.where}
        for m in app.modules if m.name == event.module
        for h in handlers_of(m) if event in _sent(h, sources, ("emit",))
    ]
