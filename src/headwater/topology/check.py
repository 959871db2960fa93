"""Everything that can be found out about an application before it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from headwater.errors import BoundaryError, ConfigurationError
from headwater.model.app import App
from headwater.model.module import where
from headwater.runtime.upcasting import in_order
from headwater.topology.boundaries import Finding, check_boundaries, handlers_of, messages_named

__all__ = ["Finding", "check_app", "require_boundaries"]


def check_app(app: App) -> list[Finding]:
    """Return all findings, errors first; empty when the application is clean."""
    found = [*check_boundaries(app), *_contracts(app), *_routes(app), *_upcasts(app), *_subscriptions(app)]
    return sorted(found, key=lambda f: f.severity == "warning")


def require_boundaries(app: App) -> None:
    """Raise BoundaryError that lists every error; warnings do not stop a start."""
    errors = [f for f in check_app(app) if f.severity == "error"]
    if errors:
        said = "\n".join(f"  {f.where}: {f.code}: {f.message}: {f.fix}" for f in errors)
        raise BoundaryError(f"application {app.name} breaks {len(errors)} rule(s):\n{said}")


def _contracts(app: App) -> Iterator[Finding]:
    first: dict[tuple[str, int], type] = {}
    for contract in messages_named(app):
        other = first.setdefault((contract.name, contract.version), contract.message)
        if other is not contract.message:
            yield Finding(
                code="contract-twice", severity="error", where=_file(contract.message),
                message=f"{contract.wire_name} is declared by {contract.message.__qualname__} and by "
                f"{other.__module__}.{other.__qualname__}", fix="give one of them another name or version",
            )
        for failure in contract.fails:
            known = getattr(sys.modules.get(failure.__module__), failure.__name__, None)
            if known is not failure and "<locals>" not in failure.__qualname__:
                yield Finding(
                    code="hidden-failure", severity="error", where=_file(contract.message),
                    message=f"{contract.wire_name} fails with {failure.__qualname__}, which nobody can import",
                    fix=f"define it at the top of {failure.__module__}",
                )


def _routes(app: App) -> Iterator[Finding]:
    handled = {message for module in app.modules for message in (*module.handlers, *module.upcasts)}
    for api in app.apis:
        for route in api.routes:
            if route.contract.message not in handled:
                yield Finding(
                    code="nobody-handles", severity="error", where=route.where,
                    message=f"{route.method} {route.path}: nobody handles {route.contract.wire_name}",
                    fix=f"handle it in module {route.contract.module}, and add that to App(modules=[...])",
                )
            if route.auth is None:
                yield Finding(
                    code="no-auth", severity="error", where=route.where,
                    message=f"{route.method} {route.path} does not say who may use it",
                    fix="write auth=public, auth=authenticated or auth=role('...')",
                )


def _upcasts(app: App) -> Iterator[Finding]:
    for module in app.modules:
        try:
            in_order(module.upcasts.values(), module.handlers)
        except ConfigurationError as error:
            yield Finding(
                code="bad-upcast", severity="error", where=error.where or module.where, message=str(error),
                fix="each older version has one upcast that leads to a version with a handler",
            )


def _subscriptions(app: App) -> Iterator[Finding]:
    known = {module.name for module in app.modules}
    for module in app.modules:
        for handler in handlers_of(module):
            if handler.contract.kind == "event" and handler.contract.module not in known:
                yield Finding(
                    code="no-source", severity="error", where=where(handler.function),
                    message=f"module {module.name} subscribes to {handler.contract.wire_name}, and the application "
                    f"has no module {handler.contract.module!r}", fix="add that module to App(modules=[...])",
                )


def _file(message: type) -> str:
    """The file of a class; a class does not know its line."""
    return f"{getattr(sys.modules.get(message.__module__), '__file__', message.__module__)}:1"
