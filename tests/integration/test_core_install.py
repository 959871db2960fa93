"""Without any extra, with nothing but the three libraries of the core: everything that needs no more works."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from headwater.testing.process import running_app

ROOT = Path(__file__).resolve().parents[2]
HIDE = """import sys
sys.path[:] = [path for path in sys.path if "site-packages" not in path] + [{core!r}]
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which nothing but the core is installed."""
    return core_only(tmp_path_factory.mktemp("site"), ROOT / "src")


def core_only(folder: Path, package: Path) -> dict[str, str]:
    """Return an environment with the package and the core's libraries. folder: an empty one, for links to them."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    core = {match[0] for one in said if (match := re.match(r"[a-z]+", one))}
    assert core == {"apsw", "click", "msgspec"}
    for name in core:
        found = importlib.import_module(name).__file__
        assert found is not None
        here = Path(found).parent if Path(found).name.startswith("__init__.") else Path(found)
        (folder / here.name).symlink_to(here)
    (folder / "sitecustomize.py").write_text(HIDE.format(core=str(folder)))
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(package)))}


@pytest.fixture(scope="module")
def project(bare: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    assert headwater(bare, folder, "new", "myapp").returncode == 0
    with running_app(folder / "myapp", folder / "myapp" / "data", environment=bare) as app:
        assert app.stop() == 0, app.log.read_text()
    return folder / "myapp"


def headwater(bare: dict[str, str], at: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli", *arguments], cwd=at, env={**os.environ, **bare}, capture_output=True,
        text=True, timeout=60, check=False,
    )


def test_what_is_hidden_is_hidden(bare: dict[str, str], tmp_path: Path) -> None:
    """Else nothing below would show anything."""
    for name in ("uvloop", "joserfc", "httptools", "pytest"):
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"], env={**os.environ, **bare}, cwd=tmp_path, capture_output=True,
            text=True, check=False,
        )
        assert "ModuleNotFoundError" in done.stderr, name


@pytest.mark.parametrize("arguments", [(), ("--workers", "2"), ("--admin-port", "0"), ("--workers", "2", "--admin-port", "0")])
def test_it_serves(bare: dict[str, str], project: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """On asyncio's own loop, with the admin listener, in one process and in two."""
    with running_app(project, tmp_path / "data", environment=bare, arguments=arguments) as app:
        assert not app.ended, app.log.read_text()
        told = json.dumps({"text": "hi"}).encode()
        request = urllib.request.Request(f"{app.address}/v1/notes", told, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["text"] == "hi"
        with urllib.request.urlopen(f"{app.address}/v1/notes", timeout=10) as answer:
            assert [note["text"] for note in json.load(answer)] == ["hi"]
        found = re.search(r"admin +(http://\S+)", app.log.read_text())
        assert (found is not None) == ("--admin-port" in arguments)
        if found is not None:
            for path in ("dashboard", "metrics", "readyz"):
                with urllib.request.urlopen(f"{found[1]}/{path}", timeout=10) as answer:
                    assert answer.status == 200
        assert app.stop() == 0


@pytest.mark.parametrize(
    "command", [
        "check", "routes", "explain notes.write", "events tail", "dead list", "subscriptions", "projections list",
        "key new --subject bot", "client --out sdk", "help denied", "token --role staff",
    ],
)
def test_commands_work(bare: dict[str, str], project: Path, command: str) -> None:
    done = headwater(bare, project, *command.split())
    assert done.returncode == 0, done.stderr


def test_every_command_explains_itself(bare: dict[str, str], project: Path) -> None:
    listed = headwater(bare, project, "--help").stdout.partition("Commands:")[2]
    names = re.findall(r"^  (\w+)", listed, re.MULTILINE)
    assert len(names) > 10
    for name in names:
        assert headwater(bare, project, name, "--help").returncode == 0, name


@pytest.fixture(scope="module")
def asking(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same application for those alone who show a token."""
    made = shutil.copytree(
        project, tmp_path_factory.mktemp("asking") / "myapp", ignore=shutil.ignore_patterns("data", "sdk")
    )
    app = made / "myapp" / "app.py"
    app.write_text(app.read_text().replace("public", "authenticated"))
    return made


def test_tokens_of_the_development_key_need_nothing_more(bare: dict[str, str], asking: Path) -> None:
    with running_app(asking, asking / "data", environment=bare) as app:
        assert not app.ended, app.log.read_text()
        token = headwater(bare, asking, "token").stdout.strip()
        for bearer, status in ((token, 200), (token[:-2], 401)):
            request = urllib.request.Request(f"{app.address}/v1/notes", headers={"authorization": f"Bearer {bearer}"})
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as refused:
                assert refused.code == status
                refused.close()


def test_what_needs_more_names_the_extra(bare: dict[str, str], asking: Path, tmp_path: Path) -> None:
    """Public keys need a library that verifies with them."""
    (tmp_path / "key.pem").write_text("-----BEGIN PUBLIC KEY-----\n")
    topology = tmp_path / "topology.toml"
    topology.write_text(f'[[auth.keys]]\nid = "one"\nalgorithm = "ES256"\nkey = "file:{tmp_path}/key.pem"\n')
    done = headwater(bare, asking, "run", "--port", "0", "--topology", str(topology))
    assert done.returncode == 2
    assert "pip install 'headwater[auth]'" in done.stderr
    assert "Traceback" not in done.stderr
