"""The whole document of an API."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.edge.openapi.components import Components
from headwater.edge.openapi.headers import REQUEST_HEADERS, RESPONSE_HEADERS
from headwater.edge.openapi.operation import operation_of
from headwater.edge.openapi.refusals import PROBLEM_SCHEMAS
from headwater.edge.openapi.shape import Shape
from headwater.errors import ConfigurationError
from headwater.model.api import Api, Route
from headwater.model.app import App

__all__ = ["OpenApi"]

_ABOUT = """\
Requests are read strictly: a field or parameter that is not described here is refused, and so are doubled keys and
values of another type; all mistakes are named at once. Answers may have more fields one day: ignore what is not known.

Bodies are JSON in UTF-8 or MessagePack, in both directions, as `Content-Type` and `Accept` say. Long answers are
compressed for whoever accepts that. Whatever is not a value is a problem document (RFC 9457) with a stable `code`.
`HEAD` works where `GET` does; methods that are not described here are answered with 405.

Each operation names the headers that it understands (`x-headwater`); they are described together
(`components.parameters`)."""
_FORMATS = ("application/json", "application/msgpack")
_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token: `Authorization: Bearer TOKEN`."},
    "apiKey": {"type": "http", "scheme": "ApiKey", "description": "An API key: `Authorization: ApiKey KEY`."},
}


class OpenApi:
    """Writes OpenAPI 3.1 documents of an application's APIs.

    server: the address that paths are relative to. api_keys: whether API keys are believed, besides bearer tokens.
    only_json: leave MessagePack out, for tools that do not know it.
    """

    def __init__(
        self, app: App, *, server: str = "/", api_keys: bool = False, only_json: bool = False
    ) -> None:
        self._formats = _FORMATS[:1] if only_json else _FORMATS
        self._app = app
        self._server = server
        self._schemes = ("bearer", "apiKey") if api_keys else ("bearer",)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the APIs."""
        return tuple(api.name for api in self._app.apis)

    def document(self, api: str) -> bytes:
        """Return an API's document as JSON, always the same bytes. Raises ConfigurationError for an unknown name."""
        return msgspec.json.format(msgspec.json.encode(self.tree(api)), indent=2) + b"\n"

    def tree(self, api: str) -> dict[str, Any]:
        """Return an API's document as plain values. Raises ConfigurationError for an unknown name."""
        found = next((one for one in self._app.apis if one.name == api), None)
        if found is None:
            known = ", ".join(self.names) or "none"
            raise ConfigurationError(f"{self._app.name} has no API {api!r}; it has: {known}")
        return self._document(found)

    def _document(self, api: Api) -> dict[str, Any]:
        ruled = {module.name for module in self._app.modules if module.rules}
        shapes = [Shape(route, ruled=route.contract.module in ruled) for route in api.routes]
        answered: dict[Any, Any] = {
            s.route.contract.message: s.value for s in shapes if not s.download and s.value is not type(None)
        }
        answered |= {failure: failure for s in shapes for failure in s.route.contract.fails}
        messages = dict.fromkeys(s.route.contract.message for s in shapes)
        components = Components(messages, answered, formats=self._formats)
        components.schemas.update(PROBLEM_SCHEMAS)
        names = _names([s.route for s in shapes])
        paths: dict[str, dict[str, Any]] = {}
        for shape, name in zip(shapes, names, strict=True):
            operation = operation_of(shape, components, name=name, schemes=self._schemes)
            paths.setdefault(shape.route.path, {})[shape.route.method.lower()] = operation
        return {
            "openapi": "3.1.0",
            "info": {"title": f"{self._app.name} {api.name}", "version": api.name, "description": _ABOUT},
            "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
            "servers": [{"url": self._server}],
            "tags": [{"name": name} for name in dict.fromkeys(s.route.contract.module for s in shapes)],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(components.schemas.items())),
                "responses": dict(sorted(components.responses.items())),
                "parameters": REQUEST_HEADERS,
                "headers": RESPONSE_HEADERS,
                "securitySchemes": {name: _SCHEMES[name] for name in self._schemes},
            },
        }


def _names(routes: list[Route]) -> list[str]:
    """Return an id for each operation: its message, and the method and path where several take it."""
    messages = [route.contract.message.__name__ for route in routes]
    made: list[str] = []
    for route, name in zip(routes, messages, strict=True):
        plain = f"{name[:1].lower()}{name[1:]}"
        twice = messages.count(name) > 1
        words = "".join(part.strip("{}").capitalize() for part in route.path.split("/"))
        made.append(f"{plain}By{route.method.capitalize()}{words}" if twice else plain)
    return made
