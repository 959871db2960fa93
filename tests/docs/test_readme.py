"""The README's code is real: it is taken out, started, and asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest

import headwater

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

MADE = {"changelog.md", "contributing.md"}
"""Pages of the site that lie elsewhere here; `test_site` follows all links of the site itself."""


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_taste_is_an_application_that_passes_its_own_checks(tmp_path: Path) -> None:
    """The code under "A taste", saved as it says, is checked, explained and typed without a remark."""
    (code,), (sql,) = blocks("python"), blocks("sql")
    (tmp_path / "app.py").write_text(code)
    (tmp_path / "bank_sql").mkdir()
    (tmp_path / "bank_sql" / "0001_account.sql").write_text(sql)
    (tmp_path / "pyproject.toml").write_text('[tool.headwater]\napp = "app:app"\n')

    def headwater(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "headwater.cli", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    headwater("check")
    routes = json.loads(headwater("routes", "--json"))
    assert "bank.move" in json.dumps(routes)
    assert "bank.moved" in headwater("explain", "bank.move")
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 60


async def test_the_taste_behaves_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Money moves once for one request id, and a refusal is itself."""
    from tests.flow.house import call, running

    (code,), (sql,) = blocks("python"), blocks("sql")
    (tmp_path / "bank_sql").mkdir()
    (tmp_path / "bank_sql" / "0001_account.sql").write_text(sql)
    (tmp_path / "taste.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    import taste  # type: ignore[import-not-found]

    async with running(tmp_path, *taste.app.modules) as node:
        for _ in range(2):
            got = await call(node, taste.Move(request_id="1", name="ada", cents=5))
            assert got == taste.Account(name="ada", cents=5)
        with pytest.raises(taste.Overdrawn):
            await call(node, taste.Move(request_id="2", name="ada", cents=-6))
        assert await call(node, taste.AccountOf(name="ada")) == taste.Account(name="ada", cents=5)


async def test_the_face_is_served_as_it_is_written(tmp_path: Path) -> None:
    """The routes under "The face to the world" compile before a node with their contracts."""
    from headwater.edge.routes import Router
    from tests.flow.house import running

    module = headwater.Module("catalog")
    names: dict[str, object] = {name: getattr(headwater, name) for name in headwater.__all__}

    @headwater.contract("catalog.product", v=1)
    class ProductById(headwater.Query[str | None]):
        product_id: str

    @headwater.contract("catalog.photo", v=1)
    class PutPhoto(headwater.Command[None]):
        name: str
        photo: headwater.Blob

    @module.handle(ProductById)
    async def product(query: ProductById) -> str | None:
        return query.product_id

    @module.handle(PutPhoto)
    async def put(cmd: PutPhoto) -> None:
        return None

    (code,) = blocks("python face")
    made = names | {"date": date, "ProductById": ProductById, "PutPhoto": PutPhoto}
    exec(code, made)
    async with running(tmp_path, module) as node:
        api = made["v1"]
        assert isinstance(api, headwater.Api)
        node.parts.files = object()  # type: ignore[assignment]
        assert [route.path for route in Router([api], node).routes] == ["/v1/products/{product_id}", "/v1/photos/{name}"]


def test_every_link_into_the_project_leads_somewhere() -> None:
    """What README, CONTRIBUTING and the documentation point at is there, or is written by `make docs`."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
            if "://" not in target and target not in MADE and not re.match(r"(\.\./)?reference/", target):
                assert (page.parent / target).exists(), f"{page.name} -> {target}"
        for named in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", text):
            assert (ROOT / named).exists(), f"{page.name} -> {named}"


def test_the_licence_is_what_the_readme_says() -> None:
    """Apache-2.0 in three places."""
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"] == "Apache-2.0"
    assert "it stays so" in README
