"""A process that starts loads what its first answers need, and leaves the rest for when it is asked for."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from headwater.testing.process import running_app

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOT_YET = {
    "cryptography", "joserfc",  # signatures with public keys
    "difflib",  # a command that was mistyped
    "headwater.adapters.outbound", "http.client", "urllib.request",  # keys that are fetched
    "headwater.edge.asgi", "headwater.ops", "headwater.clientgen", "headwater.testing", "headwater.help",
    "opentelemetry", "unittest", "multiprocessing", "email",
}
_IMPORTED = re.compile(r"^import time:.*\| +([\w.]+)$", re.MULTILINE)


def test_a_first_answer_with_a_token_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    with running_app(EXAMPLES / "shop", tmp_path / "data", environment={"PYTHONPROFILEIMPORTTIME": "1"}) as app:
        token = subprocess.run(
            [sys.executable, "-m", "headwater.cli", "token", "--role", "staff", "--data", str(tmp_path / "data")],
            cwd=EXAMPLES / "shop", capture_output=True, text=True, timeout=60, check=True,
        ).stdout.strip()
        request = urllib.request.Request(f"{app.address}/v1/returns/none", headers={"authorization": f"Bearer {token}"})
        with pytest.raises(urllib.error.HTTPError) as answered:
            urllib.request.urlopen(request, timeout=10)
        assert answered.value.code == 404, "the token was not believed"
        seen = set(_IMPORTED.findall(app.log.read_text()))
        assert app.stop() == 0
    assert "headwater.adapters.jwt" in seen, "the start was not observed"
    assert sorted(NOT_YET & seen) == []
