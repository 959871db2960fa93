"""A failure may have any status from 400 to 499, also one that no RFC has given a name."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest

from headwater.testing.process import running_app

APP = """
from headwater import Api, App, Command, Failure, Module, Tx, contract, public

class Teapot(Failure, status=418):
    pass

class Closed(Failure, status=499, name="closed"):
    until: str

@contract("desk.ask", v=1, fails=(Teapot, Closed))
class Ask(Command[int]):
    tea: bool

desk = Module("desk")

@desk.handle(Ask)
async def ask(cmd: Ask) -> int:
    raise Teapot() if cmd.tea else Closed(until="noon")

v1 = Api("v1", auth=public)
v1.post("/ask", Ask)
app = App("desk", modules=[desk], apis=[v1])
"""


@pytest.mark.parametrize(("tea", "status", "code"), [(True, 418, "Teapot"), (False, 499, "closed")])
def test_a_failure_with_an_odd_status_is_told(tmp_path: Path, tea: bool, status: int, code: str) -> None:
    project = tmp_path / "desk"
    project.mkdir()
    (project / "desk.py").write_text(APP)
    (project / "pyproject.toml").write_text('[tool.headwater]\napp = "desk:app"\n')
    with running_app(project, tmp_path / "data") as running:
        connection = http.client.HTTPConnection(running.address.removeprefix("http://"), timeout=10)
        connection.request("POST", "/v1/ask", json.dumps({"tea": tea}), {"content-type": "application/json"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        assert (answer.status, told["status"], told["code"]) == (status, status, code)
        assert told["title"]
        connection.close()
