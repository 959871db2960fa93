"""Headers that requests may have and answers carry, described once."""

from __future__ import annotations

from typing import Any

from headwater.edge.openapi.shape import Shape

__all__ = ["REQUEST_HEADERS", "RESPONSE_HEADERS", "answer_headers", "understood"]

_REF = "#/components/headers/"
_SECONDS = "^[0-9]{1,6}(\\.[0-9]{1,6})?$"


def _header(description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string", **schema}}


RESPONSE_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": _header("The request, as it stands in logs and traces.", pattern="^[A-Za-z0-9._-]{1,64}$"),
    "Session-Token": _header("Send it with later requests, and they see what this one has written."),
    "ETag": _header("The version of this answer, for If-None-Match."),
    "Cache-Control": _header("Who may keep the answer, and how long."),
    "RateLimit": _header("What is left (r), and in how many seconds all of it is there again (t)."),
    "RateLimit-Policy": _header("How many requests (q) in how many seconds (w)."),
    "Retry-After": _header("Seconds to wait before asking again.", pattern="^[0-9]+$"),
    "WWW-Authenticate": _header("Which kind of credential is asked for.", required=True),
    "Deprecation": _header("Since when a newer version should be used (RFC 9745).", pattern="^@[0-9]+$"),
    "Sunset": _header("When this version ends (RFC 8594)."),
    "Link": _header("Where the next page is (rel=next), or the newer version (rel=successor-version) (RFC 8288)."),
    "Accept-Ranges": _header("Parts of the file can be asked for.", const="bytes"),
    "Content-Range": _header("Which part of the file this is."),
    "Content-Disposition": _header("A stored file is never shown as a page.", const="attachment"),
}

REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    name: {"name": name, "in": "header", **header} for name, header in {
        "Request-Timeout": {
            **_header(
                "Seconds that the caller waits, more than zero; it only shortens the time that is allowed.",
                pattern=_SECONDS,
            ),
            "example": "0.8",
        },
        "Session-Token": _header(
            "What an earlier answer gave out: this request sees what that one has written.", maxLength=2048,
            contentEncoding="base64url", contentMediaType="application/json",
        ),
        "X-Request-Id": _header(
            "A name for the request: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'. Any other is replaced."
        ),
        "traceparent": _header(
            "The trace that the request belongs to (W3C Trace Context). One that cannot be read is ignored."
        ),
        "If-None-Match": _header("ETags of the answers that are here already; one of them is answered with 304."),
        "Range": _header("A part of the file, such as bytes=0-1023; answered with 206, or 416 outside the file."),
        "Idempotency-Key": _header(
            "A key of the caller's own. The command is done once, however often it is sent with this key.",
            pattern="^[!-~]{1,255}$",
        ),
    }.items()
}
"""What the edge understands. Only those stand among an operation's parameters that are its own."""


def understood(shape: Shape) -> list[str]:
    """Return the headers that a route understands, besides those of HTTP itself."""
    names = ["X-Request-Id", "Request-Timeout", "Session-Token", "traceparent"]
    if shape.route.contract.kind == "command":
        names.append("Idempotency-Key")
    if shape.route.http_cache is not None or shape.download:
        names.append("If-None-Match")
    if shape.download:
        names.append("Range")
    return names


def answer_headers(shape: Shape) -> dict[str, Any]:
    """Return the headers of an answer with a value."""
    names = ["X-Request-Id", "Cache-Control"]
    route = shape.route
    if route.contract.kind == "command":
        names.append("Session-Token")
    if route.http_cache is not None or shape.download:
        names.append("ETag")
    if shape.download:
        names += ["Accept-Ranges", "Content-Disposition"]
    if route.limits:
        names += ["RateLimit", "RateLimit-Policy"]
    if route.deprecated is not None:
        names.append("Deprecation")
    if route.sunset is not None:
        names.append("Sunset")
    if route.successor is not None or shape.cursor is not None:
        names.append("Link")
    return {name: {"$ref": _REF + name} for name in names}
