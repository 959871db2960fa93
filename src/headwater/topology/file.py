"""The topology file: which parts an application runs on. Without one, everything is embedded.

TOML, no import strings, secrets only by reference. Whatever is wrong with it is said in one line,
`file:line: code: message: fix`, before anything is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from headwater.errors import ConfigurationError

__all__ = [
    "Admin", "Auth", "AuthKey", "Data", "Events", "Http", "Process", "Topology", "TopologyError", "Traces",
    "load_topology",
]

FILE_BYTES_MOST = 1024 * 1024
_REFERENCE = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)")
_AT_LINE = re.compile(r"at line (\d+)")
Place = Callable[..., str]
"""Says `file:line` of the key that names lead to. Looked for only when there is something to say about it."""
_CHANCE = Meta(ge=0, le=1)
_FileReference = Annotated[str, Meta(pattern="^file:.+$")]


class TopologyError(ConfigurationError):
    """Something in the topology file is wrong. `code` says what kind of wrong, stably."""

    code: str  # type: ignore[misc]

    def __init__(self, code: str, message: str, *, where: str) -> None:
        self.code = code
        super().__init__(message, where=where)


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; its fields are its keys."""


class Data(_Section, frozen=True, kw_only=True):
    """Where modules keep their data. `folder` is relative to the project."""

    engines: ClassVar[tuple[str, ...]] = ("sqlite",)
    engine: str = "sqlite"
    durability: Literal["disk", "process"] = "disk"
    folder: str | None = None


class Http(_Section, frozen=True, kw_only=True):
    """Where requests come in.

    body_limit: bytes. upload_limit: bytes of a body that goes to the file store. socket: path of a Unix socket to
    serve at besides. names: the hosts that requests may name; all if none is listed. proxies: addresses and networks
    whose `X-Forwarded-*` headers are believed, "unix" for the socket's clients; proxy_protocol: connections
    from them begin with that protocol. certificate, key: PEM files to speak TLS with; read again when they change.
    strict_transport: seconds for which browsers then come by TLS only, 0 for no such thing.
    notice: seconds between saying at `/readyz` that it stops and accepting no more, for balancers that ask rarely.
    docs: where this documentation is served, for the `type` of problems.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    body_limit: Annotated[int, Meta(ge=1)] = 1024 * 1024
    upload_limit: Annotated[int, Meta(ge=1)] = 1024 * 1024 * 1024
    connections: Annotated[int, Meta(ge=1)] = 10_000
    socket: str | None = None
    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False
    certificate: str | None = None
    key: str | None = None
    strict_transport: Annotated[int, Meta(ge=0)] = 31_536_000
    notice: Annotated[float, Meta(ge=0, le=300)] = 0.0
    docs: Annotated[str, Meta(pattern="^https?://")] | None = None


class AuthKey(_Section, frozen=True, kw_only=True):
    """A key that tokens are verified with; `key` is a reference, "env:NAME" or "file:path"."""

    id: str
    key: str
    algorithm: Literal["HS256", "RS256", "PS256", "ES256", "Ed25519", "EdDSA"] = "HS256"


class Auth(_Section, frozen=True, kw_only=True):
    """Who is believed. Without any of `keys`, `jwks`, `discover` and `api_keys`: a development key, on loopback only.

    jwks: a key set, "https://..." or "file:path". discover: find it with the issuer (OpenID Connect). algorithms: what
    its keys may be for. hosts: besides the issuer's own, hosts that may be asked; private: those of all of them that
    lie in the own network; plain: those on this machine that speak no TLS. authority: certificates to believe in place
    of the system's, "file:path". refresh, stale: seconds between two looks, and how long keys count without one.
    api_keys, revoked: "file:path".
    """

    keys: tuple[AuthKey, ...] = ()
    issuer: str | None = None
    audience: str | None = None
    jwks: Annotated[str, Meta(pattern="^(file:.+|https?://.+)$")] | None = None
    discover: bool = False
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "Ed25519", "EdDSA"], ...] = (
        "RS256", "PS256", "ES256", "Ed25519",
    )
    hosts: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    authority: _FileReference | None = None
    refresh: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    stale: Annotated[float, Meta(ge=10, le=7 * 86_400)] = 86_400.0
    api_keys: _FileReference | None = None
    revoked: _FileReference | None = None

    @property
    def development(self) -> bool:
        """Whether the development key is what tokens are verified with."""
        return not (self.keys or self.jwks or self.discover or self.api_keys)


class Events(_Section, frozen=True, kw_only=True):
    """Faults on purpose, for development. duplicate: chance from 0 to 1. delay: longest, in seconds."""

    duplicate: Annotated[float, _CHANCE] = 0.0
    delay: Annotated[float, Meta(ge=0, le=60)] = 0.0


class Process(_Section, frozen=True, kw_only=True):
    """How processes run.

    encode: calls between modules of one process encode and decode like remote ones. late: by how many seconds the
    event loop may be late before the least urgent calls are refused.
    """

    encode: bool = False
    late: Annotated[float, Meta(gt=0, le=60)] = 0.25


class Traces(_Section, frozen=True, kw_only=True):
    """What is traced, and where traces go besides.

    ratio: share of traces that is kept in any case. keep_errors: also those with an error. slow: also those
    that took longer, in seconds. slow_statement: from when on a statement is listed, in seconds. otlp: a receiver,
    such as "http://localhost:4318"; otlp_secret: reference to the value of the header that lets us in, otlp_header.
    """

    ratio: Annotated[float, _CHANCE] = 0.01
    keep_errors: bool = True
    slow: Annotated[float, Meta(gt=0)] | None = None
    slow_statement: Annotated[float, Meta(gt=0)] = 0.1
    otlp: str | None = None
    otlp_header: str = "authorization"
    otlp_secret: str | None = None


class Admin(_Section, frozen=True, kw_only=True):
    """Where people and machines look after the application; nowhere without a port.

    token: reference to what whoever asks has to know; needed where others than this machine can ask.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    token: str | None = None


class Topology(_Section, frozen=True, kw_only=True):
    """The whole file. `Topology()` is: everything embedded, in one process."""

    data: Data = Data()
    http: Http = Http()
    auth: Auth = Auth()
    events: Events = Events()
    process: Process = Process()
    traces: Traces = Traces()
    admin: Admin = Admin()


def load_topology(path: Path) -> Topology:
    """Read and check a topology file. Raises TopologyError with `file:line` and a stable code."""
    import tomllib  # a worker process without a topology file needs neither this nor difflib

    text = _read(path)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        twice = "overwrite" in str(error) or "twice" in str(error)
        raise TopologyError(
            "duplicate-key" if twice else "syntax",
            f"{error}: {'remove one of them' if twice else 'write valid TOML'}", where=f"{path}:{line}",
        ) from None
    for name, table in tables.items():
        _check_table(partial(_place, path, text), name, table)
    return msgspec.convert(tables, Topology)


def _read(path: Path) -> str:
    start = f"{path}:1"
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MOST + 1)
    except OSError as error:
        raise TopologyError("unreadable", f"{error.strerror}: name a file that exists", where=start) from None
    if len(raw) > FILE_BYTES_MOST:
        raise TopologyError("too-large", f"longer than {FILE_BYTES_MOST} bytes: shorten it", where=start)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise TopologyError("encoding", "not UTF-8: save it as UTF-8", where=f"{path}:{line}") from None
    if not text.strip():
        raise TopologyError("empty", "the file says nothing: leave it out to run embedded", where=start)
    return text


def _place(path: Path, text: str, *names: str, number: int = 0) -> str:
    return f"{path}:{_line(text, *names, number=number)}"


def _check_table(place: Place, name: str, table: Any) -> None:
    sections = {f.name: f.type for f in msgspec.structs.fields(Topology)}
    if name not in sections:
        raise TopologyError("unknown-key", f"there is no [{name}]: {_suggest(name, sections)}", where=place(name))
    if not isinstance(table, dict):
        raise TopologyError("wrong-type", f"{name} is a table: write [{name}]", where=place(name))
    _check_keys(place, (name,), table, sections[name])


def _check_keys(place: Place, at: tuple[str, ...], table: dict[str, Any], kind: Any) -> None:
    fields = {f.name: f for f in msgspec.structs.fields(kind)}
    section = ".".join(at)
    for key, value in table.items():
        where = partial(place, *at, key)
        if key not in fields:
            raise TopologyError("unknown-key", f"{section} has no key {key!r}: {_suggest(key, fields)}", where=where())
        if at == ("auth",) and key == "keys" and isinstance(value, list):
            for number, item in enumerate(value):
                _check_auth_key(place, item, number)
            continue
        _check_value(where, f"{section}.{key}", value, fields[key].type)
        if (section, key) in (("traces", "otlp_secret"), ("admin", "token")):
            _check_reference(where, f"{section}.{key}", value)
        if (section, key) == ("data", "engine") and value not in Data.engines:
            raise TopologyError(
                "unsupported-engine", f"engine {value!r}: this version runs: {', '.join(Data.engines)}", where=where()
            )
    missing = [f.name for f in fields.values() if f.required and f.name not in table]
    if missing:
        raise TopologyError("missing-key", f"{section} has no {missing[0]!r}: add it", where=place(*at))


def _check_auth_key(place: Place, item: Any, number: int) -> None:
    if not isinstance(item, dict):
        raise TopologyError(
            "wrong-type", 'auth.keys lists tables: write {id = "...", key = "env:NAME"}',
            where=place("auth", "keys"),
        )
    _check_reference(partial(place, "auth", "keys", "key", number=number), "auth.keys.key", item.get("key"))
    _check_keys(place, ("auth", "keys"), item, AuthKey)


def _check_reference(where: Place, name: str, reference: Any) -> None:
    if isinstance(reference, str) and not _REFERENCE.fullmatch(reference):
        raise TopologyError(
            "plain-secret", f"{name} is not a reference, and a secret never stands in the file: "
            'write "env:NAME" or "file:path"', where=where(),
        )


def _check_value(where: Place, name: str, value: Any, kind: Any) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TopologyError("wrong-type", f"{name}: {error}: change the value", where=where()) from None


def _suggest(name: str, known: Any) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(known)}"


def _line(text: str, *names: str, number: int = 0) -> int:
    """The line where a key stands; the nearest table above it when it cannot be found."""
    lines, found, seen = text.splitlines(), 1, 0
    table = ""
    for at, line in enumerate(lines, 1):
        header = re.match(r"\s*\[+\s*([\w.\-\"]+)\s*\]+", line)
        if header:
            table = header[1].replace('"', "")
        elif names[0] != table.split(".")[0] and not (table == "" and _names_key(line, names[0])):
            continue
        if table.split(".")[0] == names[0] and header and found == 1:
            found = at
        if _names_key(line, names[-1]) and (header is None or len(names) == 1):
            if seen == number:
                return at
            seen += 1
    return found


def _names_key(line: str, key: str) -> bool:
    return re.search(rf"(?:^|[\s{{,.\"])\"?{re.escape(key)}\"?\s*(?:=|\.)", line) is not None
