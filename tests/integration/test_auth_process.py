"""The whole way: a topology file, `headwater run` in a process of its own, and callers with credentials."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.integration.identity_provider import provider

KEY = RSAKey.generate_key(2048)
APP = """
from headwater import Api, App, Ctx, Identity, Limit, Module, Query, Command, contract, public, authenticated, role, scope

@contract("desk.who", v=1)
class Who(Query[Identity]):
    pass

@contract("desk.crash", v=1)
class Crash(Command[None]):
    secret: str

desk = Module("desk")

@desk.handle(Who)
async def who(query: Who, ctx: Ctx) -> Identity:
    return ctx.identity

@desk.handle(Crash)
async def crash(cmd: Crash, ctx: Ctx) -> None:
    raise RuntimeError(cmd.secret)

v1 = Api("v1"{default})
v1.get("/who", Who{own})
v1.get("/staff", Who, auth=role("staff"))
v1.get("/scoped", Who, auth=scope("desk:read"))
v1.get("/few", Who, auth=authenticated, limit=Limit("3/h", burst=3))
v1.post("/crash", Crash, auth=authenticated)
app = App("house", modules=[desk], apis=[v1])
"""
COMMAND = (sys.executable, "-m", "headwater.cli")


def project(folder: Path, topology: str = "", *, default: str = ", auth=authenticated", own: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "house.py").write_text(APP.replace("{default}", default).replace("{own}", own))
    (folder / "production.toml").write_text(topology or "[http]\nport = 0\n")
    (folder / "pyproject.toml").write_text('[tool.headwater]\napp = "house:app"\ntopology = "production.toml"\n')
    return folder


def headwater(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


class Server:
    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log

    def get(self, path: str, credential: str | None = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        return self.ask("GET", path, None, credential, **headers)

    def ask(self, method: str, path: str, body: Any, credential: str | None = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = dict(headers) | ({} if credential is None else {"authorization": credential})
        sent |= {} if body is None else {"content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        return answer.status, json.loads(raw) if raw else None, {n.lower(): v for n, v in answer.getheaders()}


@contextmanager
def running(folder: Path, *args: str) -> Iterator[Server]:
    log = folder / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen([*COMMAND, "run", "--port", "0", *args], cwd=folder, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 30
        while "Headwater serves at" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        line = next(n for n in log.read_text().splitlines() if "serves at" in n)
        yield Server(int(line.rsplit(":", 1)[1]), log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def new_key(folder: Path, *args: str) -> tuple[str, str]:
    done = headwater(folder, "key", "new", "--json", *args)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said["key"], said["line"]


def until(seconds: float, condition: Any) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.real
def test_api_keys_from_the_command_line_to_the_door(tmp_path):
    """`headwater key new`, its line in a file, and the file in the topology; taken out, it is closed within five seconds."""
    folder = project(tmp_path / "p", '[auth]\napi_keys = "file:keys.toml"\n')
    key, line = new_key(folder, "--subject", "press", "--role", "staff", "--scope", "desk:read", "--tenant", "north", "--ttl", "90d")
    other, other_line = new_key(folder, "--subject", "desk")
    (folder / "keys.toml").write_text(f"{line}\n{other_line}\n")
    with running(folder) as server:
        status, said, _ = server.get("/v1/who", f"ApiKey {key}")
        assert (status, said["subject"], said["roles"], said["tenant"]) == (200, "press", ["staff"], "north")
        codes = [server.get(path, f"ApiKey {other}")[0] for path in ("/v1/who", "/v1/staff", "/v1/scoped")]
        assert codes == [200, 403, 403]
        assert server.get("/v1/scoped", f"ApiKey {key}")[0] == 200
        assert server.get("/v1/who", f"ApiKey {key[:-1]}0")[0] == 401
        assert server.get("/v1/who", f"Bearer {headwater_token(folder)}")[0] == 401  # no development key beside real ones
        (folder / "keys.toml").write_text(f"{other_line}\n")
        assert until(5, lambda: server.get("/v1/who", f"ApiKey {key}")[0] == 401)
        assert server.get("/v1/who", f"ApiKey {other}")[0] == 200
        assert [server.get("/v1/few", f"ApiKey {other}")[0] for _ in range(4)] == [200, 200, 200, 429]
        log = server.log.read_text()
    assert key.split("_", 2)[2] not in log
    assert other.split("_", 2)[2] not in log


def headwater_token(folder: Path) -> str:
    done = headwater(project(folder.parent / "dev"), "token")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.real
def test_an_identity_provider_from_the_topology_to_the_door(tmp_path):
    """Discovery over HTTPS, an outage at start, revocation by file, and refusals without a trace of the token."""
    with provider(tmp_path / "idp") as idp:
        (tmp_path / "p").mkdir()
        (tmp_path / "p" / "ca.pem").write_text(idp.authority)
        (tmp_path / "p" / "revoked").write_text("")
        folder = project(
            tmp_path / "p",
            f'[auth]\nissuer = "{idp.url}"\naudience = "shop"\ndiscover = true\nprivate = ["{idp.host}"]\n'
            'authority = "file:ca.pem"\nrevoked = "file:revoked"\n',
        )
        idp.say(mode="broken")
        with running(folder) as server:

            def token(sub: str, **more: Any) -> str:
                claims = {"sub": sub, "iss": idp.url, "aud": "shop", "exp": int(time.time()) + 600, **more}
                return "Bearer " + jwt.encode({"alg": "RS256", "kid": "k"}, claims, KEY)

            ada = token("ada", jti="j1", scope="desk:read")
            status, said, headers = server.get("/v1/who", ada)
            assert (status, said["code"], headers["retry-after"]) == (503, "auth-unavailable", "1")
            idp.say(jwks={"keys": [{**KEY.as_dict(private=False), "kid": "k"}]})
            assert until(15, lambda: server.get("/v1/who", ada)[0] == 200)
            assert server.get("/v1/scoped", ada)[0] == 200
            assert server.get("/v1/staff", ada, **{"x-request-id": "canary"})[0] == 403
            (folder / "revoked").write_text("jti j1\n")
            assert until(5, lambda: server.get("/v1/who", ada)[0] == 401)
            assert server.get("/v1/who", token("bob", jti="j2"))[0] == 200
            status, said, _ = server.ask("POST", "/v1/crash", {"secret": "hunter2"}, token("bob"))
            assert (status, "hunter2" in json.dumps(said)) == (500, False)
            log = server.log.read_text()
        assert ada.split(".")[2] not in log
        assert len([line for line in log.splitlines() if "canary" in line and "this needs the role staff" in line]) == 1
        assert headwater(folder, "token").returncode == 2  # only the issuer makes tokens


@pytest.mark.real
@pytest.mark.parametrize(
    ("args", "app", "topology", "said"),
    [
        (("run",), {"default": ""}, "", "does not say who may use it"),
        (("run", "--host", "0.0.0.0"), {}, "", "development"),
        (("dev", "--host", "0.0.0.0"), {}, '[auth]\napi_keys = "file:keys.toml"\n', "headwater run"),
        (("dev", "--host", "::"), {}, '[auth]\napi_keys = "file:keys.toml"\n', "headwater run"),
        (("run",), {}, '[auth]\napi_keys = "file:none.toml"\n', "none.toml"),
        (("run",), {}, '[auth]\nrevoked = "file:none"\n', "none"),
        (("run",), {}, '[auth]\napi_keys = "hw_abc"\n', "api_keys"),
        (("run",), {}, '[auth]\njwks = "ftp://a.example/keys"\n', "jwks"),
        (("run",), {}, "[auth]\ndiscover = true\n", "auth.issuer"),
        (("run",), {}, '[auth]\nalgorithms = ["none"]\n', "algorithms"),
        (("run",), {}, '[auth]\nalgorithms = ["HS256"]\n', "algorithms"),
        (("key", "new", "--subject", "system"), {}, "", "comes from outside"),
        (("key", "new", "--subject", "a", "--ttl", "soon"), {}, "", "not a duration"),
    ],
)
def test_s1_s23_what_is_not_safe_does_not_start(tmp_path, args, app, topology, said):
    """Exit code 2 and one sentence: no route without authorisation, no development beyond this machine, no half configuration."""
    folder = project(tmp_path / "p", topology, **app)
    (folder / "keys.toml").write_text("")
    done = headwater(folder, *args)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


def test_a_key_is_shown_once_with_its_line(tmp_path):
    """For people: the key, and the line that does not tell it."""
    done = headwater(project(tmp_path / "p"), "key", "new", "--subject", "press")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    key = lines[1].strip()
    assert key.startswith("hw_")
    assert lines[3].startswith(key[3:15])
    assert key[16:] not in lines[3]
    assert os.linesep.join(lines).count(key) == 1
