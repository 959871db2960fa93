"""Who takes part, how each is started, and what each does for a request besides answering it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.web.cases import PURE, STORED

__all__ = ["BASE", "CONTENDERS", "FEATURES", "NEST", "Contender"]

BASE = "granian rsgi"
NEST = Path(__file__).parent.parent.parent / ".venv-bench/nest"
FEATURES = ("routing", "typed input", "auth", "deadline", "metrics", "trace", "request id", "strict HTTP")
_TYPED = ("routing", "typed input")
_FULL = ("routing", "typed input", "auth", "deadline", "metrics", "trace", "request id")


@dataclass(frozen=True)
class Contender:
    """How one server is started. `{python}`, `{port}` and `{folder}` are filled in."""

    name: str
    command: Sequence[str]
    cases: Sequence[str] = PURE
    features: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    pure: bool = False  # runs the package as it is written, not as it is compiled


def _granian(interface: str, target: str) -> list[str]:
    return [
        "{python}", "-m", "granian", "--interface", interface, "--port", "{port}", "--workers", "1", "--no-ws",
        "--http", "1", "--log-level", "error", "--loop", "uvloop", f"bench.contenders.{target}",
    ]


def _uvicorn(target: str) -> list[str]:
    return [
        "{python}", "-m", "uvicorn", f"bench.contenders.{target}", "--port", "{port}", "--log-level", "error",
        "--no-access-log", "--loop", "uvloop", "--http", "httptools",
    ]


def _module(name: str) -> list[str]:
    return ["{python}", "-m", f"bench.contenders.{name}", "{port}"]


_HEADWATER = [
    "{python}", "-m", "headwater.cli", "--app", "bench.contenders.headwater_demo:app", "run", "--port", "{port}",
    "--data", "{folder}/data", "--topology", "{folder}/topology.toml",
]
_ALL = (*PURE, *STORED)
CONTENDERS = {
    c.name: c
    for c in (
        Contender("headwater", _HEADWATER, _ALL, FEATURES, note="`headwater run` as its wheels come, compiled"),
        Contender("headwater, not compiled", _HEADWATER, _ALL, FEATURES, note="the same in Python alone", pure=True),
        Contender(
            "headwater, ASGI on uvicorn", _uvicorn("headwater_asgi:app"), PURE, _FULL,
            note="`headwater.edge.asgi`; HTTP is the server's",
        ),
        Contender("headwater, ASGI on granian", _granian("asgi", "headwater_asgi:app"), PURE, _FULL),
        Contender(
            BASE, _granian("rsgi", "granian_rsgi:app"), _ALL,
            note="no framework: paths compared by hand, msgspec by hand, SQLite inline, one commit a request",
        ),
        Contender(
            "uvloop, nothing parsed", _module("floor"), ("hello",),
            note="one read, one write, always the same bytes: the floor under everybody on uvloop",
        ),
        Contender("granian asgi", _granian("asgi", "bare_asgi:app"), note="no framework, as above"),
        Contender("uvicorn", _uvicorn("bare_asgi:app"), _ALL, note="no framework, as above"),
        Contender("BlackSheep", _uvicorn("blacksheep_app:app"), PURE, _TYPED, note="on uvicorn, pydantic"),
        Contender("Sanic", _module("sanic_app"), PURE, ("routing",), note="msgspec by hand"),
        Contender("Litestar", _uvicorn("litestar_app:app"), PURE, _TYPED, note="on uvicorn, msgspec"),
        Contender("Robyn", [
            "{python}", "-m", "bench.contenders.robyn_app", "--processes", "1", "--workers", "1", "--log-level",
            "ERROR", "--disable-openapi", "{port}",
        ], PURE, ("routing",), note="msgspec by hand"),
        Contender("django-bolt", _module("bolt_run"), PURE, _TYPED, note="`runbolt`, one process"),
        Contender(
            "NestJS", ["node", str(NEST / "dist/main.js"), "{port}"], PURE, _TYPED, note="on Fastify, class-validator"
        ),
        Contender("FastAPI", _uvicorn("fastapi_app:app"), PURE, _TYPED, note="on uvicorn"),
        Contender(
            "FastAPI, all features", _uvicorn("fastapi_app:app"), PURE, _FULL, {"BENCH_FULL": "1"},
            note="with OpenTelemetry at 1 %, no exporter; Prometheus; a table of tokens; a timeout",
        ),
        Contender(
            "FastAPI + SQLAlchemy + aiosqlite", _uvicorn("fastapi_sql:app"), STORED, _TYPED,
            note="the usual session a request",
        ),
    )
}
