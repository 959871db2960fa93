"""Logs: whose work a line is about, one line for one record whatever it says, no secret in any output."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import logging
import pickle
import traceback

import msgspec
import pytest

from headwater import Command, Ctx, Event, Failure, Module, Query, Tx, contract
from headwater.adapters.system import SystemClock, SystemIds, SystemRandom
from headwater.edge.problems import Rejected, problem_of
from headwater.errors import ConfigurationError, HandlerCrashed, HeadwaterError, InvalidMessage
from headwater.model.codec import Codec, to_json
from headwater.model.context import Context
from headwater.model.identity import Identity
from headwater.model.schema import json_schema
from headwater.model.secret import Secret, masked, register_secret
from headwater.model.strict import StrictReader
from headwater.runtime.logs import JsonFormatter, configure_logs, log_style
from headwater.runtime.tracing import Tracer
from tests.flow.house import call, migrations, rows, running

log = logging.getLogger("shop.desk")
OPEN = Secret("open sesame")
CANARY = 'c4nary"\\value/é+1'


@contract("desk.say", v=1)
class Say(Command[None]):
    text: str


@contract("desk.think", v=1)
class Think(Query[int]):
    text: str


@contract("desk.said", v=1)
class Said(Event):
    text: str


@contract("desk.login", v=1)
class Login(Command[bool]):
    name: str
    password: Secret[str]


@contract("desk.login_later", v=1)
class LoginLater(Command[None]):
    password: Secret[str]


class Leak(Failure):
    password: Secret[str]


@contract("desk.leaky", v=1, fails=(Leak,))
class Leaky(Command[None]):
    pass


@contract("desk.leaky_result", v=1)
class LeakyResult(Query[tuple[Secret[str], ...]]):
    pass


@contract("desk.leaked", v=1)
class Leaked(Event):
    password: Secret[str] | None = None


@pytest.fixture
def lines():
    """A log of JSON lines; what was configured before comes back."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("json", "DEBUG", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def human():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("human", "INFO", stream)
    yield stream.getvalue
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def tracer(**options) -> Tracer:
    return Tracer(SystemClock(), SystemIds(), SystemRandom(), **options)


def desk(folder) -> Module:
    module = Module("desk", migrations=migrations(folder, "desk", "create table said (text text);"))

    @module.handle(Say)
    async def say(cmd: Say, ctx: Ctx, tx: Tx) -> None:
        log.info("before %s", cmd.text, extra={"order": 7})
        await ctx.sleep(0.001)
        await asyncio.gather(ctx.ask(Think(text="one")), ctx.ask(Think(text="two")))
        log.info("after")
        await tx.emit(Said(text=cmd.text))

    @module.handle(Think)
    def think(query: Think) -> int:
        log.info("thinking of %s", query.text)
        return 1

    @module.on(Said)
    async def hear(event: Said, tx: Tx) -> None:
        log.info("heard %s", event.text)

    return module


async def test_a_line_says_whose_work_it_is(tmp_path, lines):
    made = tracer(ratio=1.0)
    async with running(tmp_path, desk(tmp_path), tracer=made) as node:
        log.info("outside")
        await call(node, Say(text="hi"), request_id="req-1", identity=Identity(subject="ann", tenant="acme"))
        await node.settled()
    found = {line["message"]: line for line in lines() if line["logger"] == "shop.desk"}
    assert set(found["outside"]) == {"ts", "level", "logger", "message"}
    (trace,) = [t for t in made.recent() if t.name == "desk.say/1"]
    spans = {s.name: s.id for s in trace.spans}
    whose = {"trace_id": trace.trace_id, "request_id": "req-1", "tenant": "acme", "caller": "ann"}
    assert found["before hi"] == {
        **{k: found["before hi"][k] for k in ("ts",)}, "level": "INFO", "logger": "shop.desk", "message": "before hi",
        "contract": "desk.say/1", "span_id": spans["desk.say/1"], "extra": {"order": 7}, **whose,
    }
    assert found["after"]["span_id"] == spans["desk.say/1"]
    assert {found[f"thinking of {n}"]["span_id"] for n in ("one", "two")} == {s.id for s in trace.spans if s.name == "desk.think/1"}
    heard = found["heard hi"]
    assert (heard["contract"], heard["trace_id"], heard["caller"]) == ("subscription desk.hear: desk.said", trace.trace_id, "ann")


async def test_without_a_tracer_the_callers_trace_is_told(tmp_path, lines):
    async with running(tmp_path, desk(tmp_path)) as node:
        await call(node, Say(text="hi"), trace_id="a" * 32, span_id="b" * 16)
        await call(node, Say(text="ho"))
    found = {line["message"]: line for line in lines()}
    assert (found["before hi"]["trace_id"], found["before hi"]["span_id"]) == ("a" * 32, "b" * 16)
    assert "trace_id" not in found["before ho"]
    assert found["before ho"]["contract"] == "desk.say/1"


def unobserved() -> None:
    """Take pytest's own handlers off: it would carry half a surrogate pair to a reporter that cannot write it."""
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if not type(h).__module__.startswith("_pytest")]


ATTACKS = [
    "ok\nINFO forged line", "ok\r\nINFO forged", "\x1b[2J\x1b]0;title\x07", "\x9b31m", "a\u2028b\u2029c", "\u202edrow", "a\x00b\x7f\x85",
    "\ud800", "\U000e0041", "\ufeff\u200b",
]


@pytest.mark.parametrize("attack", ATTACKS, ids=[str(n) for n in range(len(ATTACKS))])
def test_nothing_can_look_like_another_line(lines, human, attack):
    """Both styles, in the message, an argument, an extra field, the logger's name and an exception."""
    unobserved()
    try:
        raise ValueError(attack)
    except ValueError:
        logging.getLogger(f"x{attack}").exception(f"%s {attack}", attack, extra={"who": attack})  # noqa: G004
    text = human()
    first, *below = text.split("\n")
    assert all(line.startswith("    | ") for line in below if line), text
    assert below.pop() == ""
    assert all(c.isprintable() or c == "\n" for c in text), repr(text)


@pytest.mark.parametrize("attack", ATTACKS, ids=[str(n) for n in range(len(ATTACKS))])
def test_a_json_line_stays_one_harmless_line(lines, attack):
    unobserved()
    try:
        raise ValueError(attack)
    except ValueError:
        logging.getLogger(f"x{attack}").exception("said %s", attack, extra={"who": {attack: [attack]}})
    root = logging.getLogger().handlers[0].stream.getvalue()
    assert root.count("\n") == 1
    assert all(c.isprintable() for c in root[:-1])
    (line,) = lines()
    assert line["exception"]["type"] == "ValueError"


def test_a_line_that_cannot_be_formatted_is_told_all_the_same():
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    form = JsonFormatter().format
    first = json.loads(form(logging.makeLogRecord({"msg": "%d of them", "args": ("many",)})))
    second = json.loads(form(logging.makeLogRecord({"msg": "bad", "bad": Bad(), "big": 2**70, "none": None})))
    assert first["message"] == "'%d of them' (its arguments do not fit)"
    assert second["extra"] == {"bad": "<Bad>", "big": str(2**70), "none": None}


def test_settings_are_checked():
    assert log_style({}) == "auto"
    assert log_style({"HEADWATER_LOG": "json"}) == "json"
    for wrong in (lambda: log_style({"HEADWATER_LOG": "xml"}), lambda: configure_logs("json", "LOUD"), lambda: configure_logs("xml")):
        with pytest.raises(ConfigurationError):
            wrong()


# --- secrets --------------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nobody():
    secret = Secret("open sesame")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr([secret]), "%s" % secret, repr(Login(name="a", password=secret))]
    shown.append(repr(Context(deadline=1.0)))
    assert not [s for s in shown if "sesame" in s]
    for refuse in (lambda: pickle.dumps(secret), lambda: msgspec.json.encode(secret), lambda: vars(secret)):
        with pytest.raises(TypeError):
            refuse()
    assert copy.deepcopy(secret) is secret
    assert secret.reveal() == "open sesame"
    assert secret == Secret("open sesame") != Secret("other")
    assert secret != Secret(b"open sesame")
    with pytest.raises(ValueError, match="masked"):
        Secret("***")


def test_a_message_carries_a_secret_and_json_does_not():
    codec = Codec(Login, "desk.login/1")
    login = Login(name="ann", password=Secret("open sesame"))
    assert codec.unpack(codec.pack(login)) == login
    assert codec.to_json(login) == to_json(login) == b'{"name":"ann","password":"***"}'
    strict = StrictReader(Login)
    assert strict.read(b'{"name":"ann","password":"open sesame"}') == login
    with pytest.raises(InvalidMessage) as caught:
        strict.read(b'{"name":"ann","password":12345678}')
    assert [(f.path, f.message) for f in caught.value.fields] == [("/password", "a secret is text")]
    assert json_schema(Login)["$defs"]["Login"]["properties"]["password"] == {"type": "string", "format": "password", "writeOnly": True}


async def test_a_handler_gets_the_secret_also_over_an_encoded_call(tmp_path):
    seen: list[str] = []
    module = Module("desk")

    @module.handle(Login)
    async def login(cmd: Login) -> bool:
        seen.append(cmd.password.reveal())
        return True

    for encode in (False, True):
        async with running(tmp_path / str(encode), module, encode=encode) as node:
            assert await call(node, Login(name="ann", password=Secret("open sesame")))
    assert seen == ["open sesame"] * 2


async def test_what_is_stored_or_answered_holds_no_secret(tmp_path):
    for number, message in enumerate((Leaky, LeakyResult)):
        module = Module("desk")

        @module.handle(message)
        async def handle(cmd) -> None:
            return None

        with pytest.raises(ConfigurationError, match="holds a Secret"):
            async with running(tmp_path / str(number), module):
                pass
    module = Module("desk", migrations=migrations(tmp_path, "desk", "create table t (a text);"))

    @module.handle(Say)
    async def say(cmd: Say, tx: Tx) -> None:
        if cmd.text == "emit":
            await tx.emit(Leaked(password=OPEN))
        elif cmd.text == "send":
            await tx.send(LoginLater(password=OPEN))
        else:
            await tx.execute("insert into t values (:a)", a=OPEN)

    @module.handle(LoginLater)
    async def later(cmd: LoginLater) -> None:
        pass

    async with running(tmp_path / "m", module) as node:
        for how in ("emit", "send", "store"):
            with pytest.raises(HeadwaterError) as caught:
                await call(node, Say(text=how))
            assert "sesame" not in "".join(traceback.format_exception(caught.value))
    assert not [p for p in (tmp_path / "m").rglob("*") if p.is_file() and b"sesame" in p.read_bytes()]


async def test_a_registered_secret_is_in_no_output(tmp_path, lines, human):
    """A handler that does everything wrong with it: logs, raises, puts it into SQL, emits bad data."""
    pytest.importorskip("opentelemetry.proto")
    from headwater.adapters.otlp import _request

    register_secret(Secret(CANARY))
    register_secret(Secret(b"-----BEGIN KEY-----\nYWxsIGJhcyBhcmUgYmVsb25n\n-----END KEY-----"))
    module = Module("desk", uses=[], migrations=migrations(tmp_path, "desk", "create table said (text text);"))
    quoted = CANARY.replace("'", "''")

    @module.handle(Say)
    async def say(cmd: Say, tx: Tx) -> None:
        log.info("the key is %s", CANARY, extra={"key": CANARY, "keys": [CANARY, {CANARY: CANARY}], "raw": CANARY.encode()})
        log.warning("pem YWxsIGJhcyBhcmUgYmVsb25n and %r", CANARY)
        log.info("%s", "x" * 16_380 + CANARY)
        await tx.execute(f"insert into said values ('{quoted}')")
        await tx.fetch_all(str, f"select text from said -- {CANARY}")
        if cmd.text == "emit":
            await tx.emit(Said(text="x"))
            return
        raise ValueError(f"cannot use {CANARY}")

    @module.on(Said)
    async def hear(event: Said, tx: Tx) -> None:
        raise ValueError(f"cannot hear {CANARY}")

    made = tracer(ratio=1.0, slow_statement=0.0)
    told: list[bytes | str] = []
    async with running(tmp_path, module, tracer=made) as node:
        with pytest.raises(HandlerCrashed) as caught:
            await call(node, Say(text="crash"), request_id=CANARY, identity=Identity(subject=CANARY))
        log.error("it crashed", exc_info=caught.value)
        told.append(problem_of(caught.value, CANARY).body)
        told.append(problem_of(Rejected(400, "bad", f"no {CANARY}"), "r").body)
        await call(node, Say(text="emit"))
        for _ in range(200):
            if parked := await rows(node, "desk", "select error from hw_retry union select error from hw_dead"):
                break
            await asyncio.sleep(0.01)
        told += [error for (error,) in parked]
    told += [repr(lines()), repr(made.recent()), repr(made.slowest()), human()]
    told += [_request(made.recent(), {"service.name": "desk"})]
    told += [logging.getLogger().handlers[0].stream.getvalue()]
    forms = {CANARY, json.dumps(CANARY)[1:-1], json.dumps(CANARY, ensure_ascii=False)[1:-1], repr(CANARY)[1:-1], "YWxsIGJhcyBhcmUgYmVsb25n", "c4nary"}
    for text in told:
        whole = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        assert whole
        assert not [form for form in forms if form in whole], whole[:400]
    assert any("***" in str(text) for text in told)
    assert masked("nothing to hide") == "nothing to hide"
