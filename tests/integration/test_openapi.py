"""OpenAPI documents against what servers do: schemathesis asks all that a document says, and all that it denies."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater import App
from headwater.edge.openapi.document import OpenApi
from headwater.testing.process import RunningApp, running_app
from shop.app import app
from tests.integration.kinds.kinds import app as kinds
from tests.integration.shop_server import EXAMPLE, HEADWATER

pytestmark = pytest.mark.real
SEED = 20260131
# a target of more than 8 KiB is refused before anybody looks at its parameters
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 431]
"""
KINDS = Path(__file__).with_name("kinds")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    with running_app(EXAMPLE, tmp_path_factory.mktemp("openapi") / "data") as running:
        yield running


def token(running: RunningApp) -> str:
    """Return a token of somebody who may do everything."""
    made = subprocess.run(
        [*HEADWATER, "token", "--role", "staff", "--scope", "write", "--data", str(running._data)],
        cwd=running._project, check=True, capture_output=True, text=True,
    )
    return made.stdout.strip()


def schemathesis(running: RunningApp, folder: Path, document: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    """Run every check of schemathesis, with good data and bad, with the token and without."""
    place = folder / "openapi.json"
    place.write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(SETTINGS)
    return subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", str(place), "--url", running.address, "--seed", str(SEED), "--checks", "all",
            "--mode", "all", "--continue-on-failure", "--no-color", "--generation-database", "none",
            "-H", f"Authorization: Bearer {token(running)}", *more,
        ],
        cwd=folder, env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)}, capture_output=True, text=True, check=False,
    )


def finds_nothing(running: RunningApp, tmp_path: Path, described: App) -> None:
    """Examples, boundaries, random data and sequences of calls: all is answered as the document says."""
    done = schemathesis(running, tmp_path, OpenApi(described).tree("v1"), "-n", "40")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
    operations = sum(len(api.routes) for api in described.apis)
    assert f"Tested: {operations}" in done.stdout
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None and int(generated[1]) > 500, done.stdout[-2000:]


def test_schemathesis_finds_nothing_in_the_shop(shop: RunningApp, tmp_path: Path) -> None:
    finds_nothing(shop, tmp_path, app)


def test_schemathesis_finds_nothing_where_there_is_a_field_and_a_route_of_every_kind(tmp_path: Path) -> None:
    """Tagged values, dates, decimals, files, secrets, ETags, limits, scopes, a version that is on its way out."""
    with running_app(KINDS, tmp_path / "data") as running:
        assert not running.ended, running.log.read_text()
        finds_nothing(running, tmp_path, kinds)


def without(document: dict[str, Any], *place: str) -> dict[str, Any]:
    """Return a document that says less."""
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    del inner[place[-1]]
    return document


LIES = {
    "an answer of another type": lambda d: d["components"]["schemas"]["Product"]["properties"].update(price_cents={"type": "string"}),
    "a refusal that is not told of": lambda d: without(d, "paths", "/v1/products/{product_id}", "put", "responses", "422"),
    "a code that is not told of": lambda d: d["components"]["responses"]["InvalidMessage"]["content"]["application/problem+json"]["schema"][
        "allOf"][1]["properties"]["code"].update(enum=["other"]),
    "a limit that is wider than the edge's": lambda d: d["components"]["schemas"]["PutProductBody"]["properties"]["description"].update(maxLength=5000),
    "a limit that is tighter than the edge's": lambda d: d["components"]["schemas"]["PutProductBody"]["properties"]["description"].update(maxLength=5),
    "a credential that nobody asks for": lambda d: d["paths"]["/v1/products/{product_id}"]["get"].update(security=[{"bearer": []}]),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_schemathesis_notices_a_document_that_is_not_true(shop: RunningApp, tmp_path: Path, lie: Any) -> None:
    """Else its silence would say nothing."""
    document = OpenApi(app).tree("v1")
    document["paths"] = {path: item for path, item in document["paths"].items() if path == "/v1/products/{product_id}"}
    document = json.loads(json.dumps(document))
    lie(document)
    done = schemathesis(shop, tmp_path, document, "-n", "20", "--phases", "coverage,fuzzing,stateful")
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-2000:]
    assert "Failures:" in done.stdout
