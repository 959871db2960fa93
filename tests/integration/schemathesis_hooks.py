"""What schemathesis cannot know: how MessagePack is written, that cursors are given out, and what keys are for."""

from __future__ import annotations

import itertools
import re
from typing import Any

import msgspec
import schemathesis


@schemathesis.serializer("application/msgpack")
def packed(_ctx: Any, value: Any) -> bytes:
    return msgspec.msgpack.encode(_fitting(value))


def _fitting(value: Any) -> Any:
    """MessagePack ends at 64 bits: larger numbers are written as floats, and are as wrong."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return 1.7e308 if abs(value) > 10**308 else float(value)
    if isinstance(value, dict):
        return {name: _fitting(item) for name, item in value.items()}
    return [_fitting(item) for item in value] if isinstance(value, list) else value


@schemathesis.deserializer("application/msgpack")
def unpacked(_ctx: Any, response: Any) -> Any:
    return msgspec.msgpack.decode(response.content)


_KEY = re.compile(r"[!-~]{1,255}")
_numbers = itertools.count(1)


@schemathesis.hook
def before_call(_ctx: Any, case: Any, _kwargs: Any) -> None:
    """Keep what is not under test from deciding the answer.

    A good key that is used again is answered with what was answered before, or with 409, whatever else the request
    holds: so each has its own. A cursor in a request that is meant to be good can only come from a page.
    """
    under_test = str(getattr(case.meta.phase.data, "parameter_location", "")) if case.meta else ""
    key = (case.headers or {}).get("Idempotency-Key")
    if key is not None and "header" not in under_test.lower() and _KEY.fullmatch(str(key)):
        case.headers["Idempotency-Key"] = f"key-{next(_numbers)}"
    if case.query and case.meta is not None and case.meta.generation.mode.value == "positive":
        parameters = case.operation.definition.raw.get("parameters", ())
        for name in [p["name"] for p in parameters if p.get("schema", {}).get("format") == "cursor"]:
            case.query.pop(name, None)
