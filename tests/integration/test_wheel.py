"""The wheel that users install: compiled where it is hot, whole, and in need of nothing but the core's libraries."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from headwater.testing.process import running_app
from tests.integration.test_core_install import ROOT, core_only, headwater

pytestmark = pytest.mark.real
MODULES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["compiled"]["modules"]


def build(folder: Path, **environment: str) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT,
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=600, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"), HEADWATER_COMPILE="1")


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    package = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(package)
    return core_only(tmp_path_factory.mktemp("site"), package)


def test_it_is_for_this_python_and_holds_both_forms(wheel: Path, tmp_path: Path) -> None:
    """Every module that is compiled is there as source too; nothing of the building is left."""
    assert f"cp{sys.version_info[0]}{sys.version_info[1]}" in wheel.name
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in name}
    pure = {name for name in zipfile.ZipFile(build(tmp_path)).namelist() if ".dist-info" not in name}
    native = {f"headwater/{module}{EXTENSION_SUFFIXES[0]}" for module in MODULES} | {f"headwater__mypyc{EXTENSION_SUFFIXES[0]}"}
    assert names == pure | native
    assert {f"headwater/{module}.py" for module in MODULES} <= pure


def test_without_being_told_a_wheel_is_pure(tmp_path: Path) -> None:
    assert build(tmp_path).name.endswith("-py3-none-any.whl")


def test_what_is_compiled_is_what_runs(bare: dict[str, str], tmp_path: Path) -> None:
    names = [f"headwater.{module.replace('/', '.')}" for module in MODULES if module != "adapters/jwt"]  # it wants an extra
    code = f"import importlib\nfor name in {names}: print(importlib.import_module(name).__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **bare}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    files = ran.stdout.split()
    assert len(files) == len(names)
    assert [file for file in files if not file.endswith(EXTENSION_SUFFIXES[0])] == []


def test_a_new_application_runs_on_it(bare: dict[str, str], tmp_path: Path) -> None:
    assert headwater(bare, tmp_path, "new", "myapp").returncode == 0
    with running_app(tmp_path / "myapp", tmp_path / "myapp" / "data", environment=bare) as app:
        with urllib.request.urlopen(f"{app.address}/readyz", timeout=10) as answer:
            assert answer.status == 200
        assert app.stop() == 0, app.log.read_text()
