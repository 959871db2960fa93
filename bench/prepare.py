"""Makes what the contenders run on: a virtual environment, and NestJS where Node is installed. Done once."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.compiled import compiled

__all__ = ["SOURCE", "package", "prepare", "versions"]

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
PLACE = ROOT / ".venv-bench"
REQUIREMENTS = ROOT / "bench/contenders/requirements.txt"
NEST = ROOT / "bench/contenders/nest"
SHOWN = (
    "granian", "uvicorn", "uvloop", "httptools", "fastapi", "starlette", "pydantic", "litestar", "blacksheep", "robyn",
    "sanic", "django-bolt", "django", "msgspec", "apsw", "sqlalchemy", "aiosqlite", "opentelemetry-sdk",
    "prometheus-fastapi-instrumentator",
)


def prepare() -> Path:
    """Return the Python that contenders run on; make it first where it is missing or out of date."""
    python = PLACE / "bin/python"
    if _outdated(PLACE / ".made", REQUIREMENTS) or not python.exists():
        _say(f"installing the contenders into {PLACE.name}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PLACE)], check=True)
        _run([str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", "-r", str(REQUIREMENTS)])
        _made(PLACE / ".made", REQUIREMENTS)
    _prepare_nest()
    package()
    return python


@functools.cache
def package() -> Path:
    """Return the folder from which the package is measured: compiled, as its wheels are."""
    try:
        return compiled()
    except (SystemExit, OSError) as error:
        _say(f"measured as it is written, not as its wheels are: {error}")
        return SOURCE


def versions(python: Path) -> dict[str, str]:
    """Return the versions of what is compared."""
    code = "import json, importlib.metadata as m\n"
    code += "print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
    out = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout
    found = json.loads(out)
    said = {name: found[name] for name in SHOWN if name in found}
    lock = json.loads((NEST / "package-lock.json").read_text())["packages"]
    for package in ("@nestjs/core", "@nestjs/platform-fastify", "fastify"):
        said[package] = lock[f"node_modules/{package}"]["version"]
    for tool, option in (("node", "--version"), ("wrk", "-v")):
        if shutil.which(tool):
            ran = subprocess.run([tool, option], capture_output=True, text=True, check=False)
            first = (ran.stdout or ran.stderr).split()
            said[tool] = first[1] if tool == "wrk" else first[0].lstrip("v")
    return said


def _prepare_nest() -> None:
    if shutil.which("npm") is None:
        _say("node and npm are not installed: NestJS is left out")
        return
    made = PLACE / "nest"
    files = (NEST / "package-lock.json", NEST / "src/main.ts")
    if _outdated(made / ".made", *files):
        _say("installing NestJS")
        shutil.copytree(NEST, made, dirs_exist_ok=True)
        _run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], made)
        _run(["npm", "run", "build", "--silent"], made)
        _made(made / ".made", *files)


def _run(command: Sequence[str], folder: Path = ROOT) -> None:
    ran = subprocess.run(command, cwd=folder, check=False)
    if ran.returncode:
        sys.exit(f"`{' '.join(command)}` failed in {folder}: see above; the network is needed once")


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _outdated(stamp: Path, *files: Path) -> bool:
    return not stamp.exists() or stamp.read_text() != _digest(files)


def _made(stamp: Path, *files: Path) -> None:
    stamp.write_text(_digest(files))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    prepare()
