"""What schemathesis cannot know of a document: how MessagePack is written, and that nobody can make up a cursor."""

from __future__ import annotations

from typing import Any

import msgspec
import schemathesis


@schemathesis.serializer("application/msgpack")
def packed(_ctx: Any, value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


@schemathesis.deserializer("application/msgpack")
def unpacked(_ctx: Any, response: Any) -> Any:
    return msgspec.msgpack.decode(response.content)


@schemathesis.hook
def before_call(_ctx: Any, case: Any, _kwargs: Any) -> None:
    """Leave cursors out of requests that are meant to be good: only a page can give one out."""
    if case.query and case.meta is not None and case.meta.generation.mode.value == "positive":
        parameters = case.operation.definition.raw.get("parameters", ())
        for name in [p["name"] for p in parameters if p.get("schema", {}).get("format") == "cursor"]:
            case.query.pop(name, None)
