"""Logs: JSON lines for machines, short coloured lines for people at a terminal; both know whose work it is.

Plain `logging.getLogger(...)` is all that handlers need. Nothing a stranger sends can make a line look
like another one: line ends and control characters are written as escapes. Registered secrets are `***`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, Literal

from headwater.errors import ConfigurationError
from headwater.model.codec import to_json
from headwater.model.secret import masked
from headwater.runtime.neutral import neutral, neutral_lines
from headwater.runtime.running import running

__all__ = ["HumanFormatter", "JsonFormatter", "LogStyle", "configure_logs", "log_style"]

LogStyle = Literal["auto", "json", "human"]
MESSAGE_CHARACTERS = 16_384
TRACEBACK_CHARACTERS = 32_768
_CONTEXT = ("contract", "trace_id", "span_id", "request_id", "tenant", "caller")
_OWN = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", *_CONTEXT))
_COLOURS = {
    logging.DEBUG: "2", logging.INFO: "36", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31",
}


def configure_logs(
    style: LogStyle = "auto", level: str = "INFO", stream: IO[str] | None = None
) -> logging.Handler:
    """Send every log line of this process to `stream` (stderr), in one style; earlier handlers are replaced.

    "auto": people's lines on a terminal, JSON elsewhere. Returns the handler. Raises ConfigurationError.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigurationError(f"log level {level!r}: use DEBUG, INFO, WARNING, ERROR or CRITICAL")
    out: IO[str] = sys.stderr if stream is None else stream  # pyright: ignore[reportAssignmentType]
    if style == "auto":
        style = "human" if out.isatty() else "json"
    if style not in ("human", "json"):
        raise ConfigurationError(f"log style {style!r}: use auto, json or human")
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter() if style == "json" else HumanFormatter(colours=out.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    logging.captureWarnings(True)
    return handler


def log_style(environment: Mapping[str, str]) -> LogStyle:
    """Return what HEADWATER_LOG asks for, "auto" when it is not set. Raises ConfigurationError."""
    said = environment.get("HEADWATER_LOG", "") or "auto"
    if said not in ("auto", "json", "human"):
        raise ConfigurationError(f"HEADWATER_LOG={said!r}: use auto, json or human")
    return said  # type: ignore[return-value]


class JsonFormatter(logging.Formatter):
    """One JSON object a line. Fields that are not known are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname, "logger": record.name, "message": _message(record), **_context(record),
        }
        extra = _extra(record)
        if extra:
            line["extra"] = extra
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = {
                "type": record.exc_info[0].__name__, "message": masked(_text(record.exc_info[1]))[:MESSAGE_CHARACTERS],
                "traceback": _traceback(self, record),
            }
        elif record.stack_info:
            line["stack"] = masked(str(record.stack_info))[:TRACEBACK_CHARACTERS]
        return masked(to_json(_neutral(line)).decode())


class HumanFormatter(logging.Formatter):
    """One line for people: time, level, logger, message, then whose work it is. Tracebacks stand below, indented."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        facts = {**_context(record), **_extra(record)}
        told = " ".join(f"{neutral(str(name))}={neutral(masked(_text(value)))}" for name, value in facts.items())
        level = self._paint(f"{record.levelname:<8}", _COLOURS.get(record.levelno, "0"))
        name, message = neutral(record.name), neutral(_message(record))
        line = f"{time} {level} {self._paint(name, '2')} {message}"
        if told:
            line += "  " + self._paint(told, "2")
        below = _traceback(self, record) if record.exc_info else masked(str(record.stack_info or ""))
        if below:
            line += "".join(f"\n    | {one}" for one in neutral_lines(below[:TRACEBACK_CHARACTERS]))
        return line

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:
        text = f"{record.msg!r} (its arguments do not fit)"
    text = masked(text)  # before it is cut: half a secret is found by nobody
    return text if len(text) <= MESSAGE_CHARACTERS else text[:MESSAGE_CHARACTERS] + "..."


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    try:
        return masked(formatter.formatException(record.exc_info))[:TRACEBACK_CHARACTERS]  # type: ignore[arg-type]
    except Exception:
        return "(its traceback cannot be read)"


def _context(record: logging.LogRecord) -> dict[str, str]:
    """Return whose work it is: what the line brings along, else what runs."""
    brought = vars(record)
    found = {name: str(brought[name]) for name in _CONTEXT if name in brought}
    now = running()
    if found or now is None:
        return found
    ctx = now.ctx
    context, identity = ctx.context, ctx.context.identity
    tracer, span = ctx.tracer, ctx.span
    found["contract"] = now.name
    if tracer is not None and span is not None:
        found["trace_id"], found["span_id"] = tracer.trace_id(span), tracer.span_id(span)
    elif context.trace_id:
        found["trace_id"], found["span_id"] = context.trace_id, context.span_id
    if context.request_id:
        found["request_id"] = context.request_id
    if identity.tenant is not None:
        found["tenant"] = identity.tenant
    if identity.subject is not None:
        found["caller"] = identity.subject
    return found


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _neutral(value: Any) -> Any:
    """Return plain JSON values whose texts can do no harm where the line is read; line ends are JSON's to escape."""
    if isinstance(value, str):
        return neutral(masked(value), keep_lines=True)
    if isinstance(value, dict):
        return {neutral(str(name)): _neutral(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_neutral(item) for item in value]
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return neutral(masked(_text(value)), keep_lines=True)
