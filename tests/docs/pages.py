"""Runs what documentation pages say, in the order in which they say it.

A fenced block's language and words say what becomes of it:

* `python`: executed; a page's blocks share one namespace, and tests among them are run.
* any language with `title=PATH`: written to that file first. `sql` must have one.
* `python compile`: only compiled, because it is another framework's.
* `console`: lines after `$ ` are commands, run in the page's folder; the lines below each must appear in its output, in
  order, where `...` stands for anything. `console background`: it goes on running until the page ends. `console restart`:
  the same, after what ran in the background was stopped. `console stop`: only stops it. `console fails`: the commands end with another code than 0.
* `toml topology`: must be a valid topology file. `toml`, `json`: must be well-formed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

from headwater.topology.file import load_topology

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PORT, ADMIN = "8000", "9000"
"""What pages say; free ones are taken instead."""
HAD = {
    "python -m venv .venv", ". .venv/bin/activate", "HEADWATER=~/headwater", 'pip install "$HEADWATER"', "pip install pytest",
}
"""Commands whose effect the reader has already: see `environment`."""
PLAIN = {"", "text", "mermaid", "http", "diff"}
PATIENCE = 60.0


@dataclass(frozen=True)
class Block:
    """One fenced block. line: of its first line of code in the page."""

    page: str
    line: int
    language: str
    words: frozenset[str]
    title: str | None
    text: str

    @property
    def at(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page, those inside lists too."""
    found = []
    for token in MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8")):
        if token.type == "fence":
            language, *words = token.info.split() or [""]
            titles = [w.partition("=")[2] for w in words if w.startswith("title=")]
            assert token.map is not None
            found.append(
                Block(
                    page=str(path.relative_to(ROOT)), line=token.map[0] + 2, language=language,
                    words=frozenset(w for w in words if "=" not in w), title=titles[0] if titles else None,
                    text=token.content,
                )
            )
    return found


def environment(folder: Path) -> dict[str, str]:
    """Make what a virtual environment with Headwater installed would be, and return its environment variables."""
    home = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    others = [p for p in sys.path if p.endswith("site-packages")]
    (packages / "headwater.pth").write_text("\n".join([str(ROOT / "src"), *others]))
    script = home / "bin" / "headwater"
    script.write_text(f'#!/bin/sh\nexec {home}/bin/python -m headwater.cli "$@"\n')
    script.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME") and not k.startswith("HEADWATER_")}
    return {**kept, "VIRTUAL_ENV": str(home), "PATH": f"{home / 'bin'}:{kept['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass
class Reader:
    """Somebody who follows a page in a fresh folder. Leaves nothing running."""

    folder: Path
    environment: dict[str, str]
    port: int = 0
    _at: Path = field(init=False)
    _steps: list[dict[str, str]] = field(default_factory=list)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._at = self.folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.admin = free.getsockname()[1]

    def follow(self, page: list[Block]) -> None:
        """Do everything the page says. Raises AssertionError naming the page's line."""
        try:
            for block in page:
                self._do(block)
            self._python()
        finally:
            for process in self._running:
                process.kill()
                process.wait()

    def _do(self, block: Block) -> None:
        if block.title is not None:
            self._step("file", block)
        if block.language == "console":
            self._python()
            if block.words & {"restart", "stop"}:
                self._stop()
            for command, expected in commands(block.text):
                self._console(block, command, expected, background=bool(block.words & {"background", "restart"}))
        elif block.language == "toml":
            tomllib.loads(block.text)
            if "topology" in block.words:
                path = self.folder / "checked.toml"
                path.write_text(block.text)
                load_topology(path)
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "python" and block.title is None:
            self._step("compile" if "compile" in block.words else "python", block)
        elif block.title is None:
            assert block.language in PLAIN, f"{block.at}: {block.language!r} is not run; give it title=, or make it text"

    # --- python -------------------------------------------------------------------------------

    def _step(self, kind: str, block: Block) -> None:
        text = block.text if kind == "file" else "\n" * (block.line - 1) + block.text
        self._steps.append({"kind": kind, "name": block.title or "", "text": text, "at": block.at.partition(":")[0]})

    def _python(self) -> None:
        """Play what has been collected. Between two consoles the namespace is kept, beyond one it is not."""
        if not self._steps:
            return
        done = subprocess.run(
            ["python", "-W", "error", str(ROOT / "tests" / "docs" / "playing.py")], input=json.dumps(self._steps), text=True,
            capture_output=True, cwd=self._at, timeout=PATIENCE, check=False,
            env={**self.environment, "PYTHONPATH": f"{self._at}:{ROOT / 'examples' / 'shop'}"},
        )
        self._steps = []
        assert done.returncode == 0, done.stdout + done.stderr

    # --- commands -----------------------------------------------------------------------------

    def _console(self, block: Block, command: str, expected: list[str], *, background: bool) -> None:
        words = command.split()
        if words[0] == "cd":
            self._at = (self._at / words[1]).resolve()
            assert self._at.is_dir(), f"{block.at}: there is no folder {words[1]}"
            return
        if command in HAD:
            return
        if re.search(r"\bheadwater\b.* (run|dev)\b", command) and "--port" not in command:
            command += f" --port {self.port}"
        command = command.replace(f":{PORT}", f":{self.port}").replace(f":{ADMIN}", f":{self.admin}")
        command = command.replace(f"--admin-port {ADMIN}", f"--admin-port {self.admin}")
        said = self._start(command, expected) if background else self._run(block, command)
        check_output(block, command, expected, said.replace(f":{self.port}", f":{PORT}").replace(f":{self.admin}", f":{ADMIN}"))

    def _run(self, block: Block, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=self._at, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=PATIENCE, check=False,
        )
        said = done.stdout.decode()
        fails = done.returncode != 0
        assert fails == ("fails" in block.words), f"{block.at}: {command}: exit code {done.returncode}\n{said}"
        return said

    def _stop(self) -> None:
        """Press Ctrl-C in the first terminal."""
        for process in self._running:
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        self._running = []

    def _start(self, command: str, expected: list[str]) -> str:
        log = self.folder / f"background-{time.monotonic_ns()}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], cwd=self._at, env=self.environment, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True,
            )
        self._running.append(process)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and process.poll() is None:
            said = log.read_text()
            if said.count("\n") >= len(expected) and accepts(self.port):
                return said
            time.sleep(0.02)
        raise AssertionError(f"{command}: not ready:\n{log.read_text()}")


def accepts(port: int) -> bool:
    """Return whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a console block, continued lines joined, and the output below it."""
    command: str | None = None
    expected: list[str] = []
    joining = False
    for line in text.splitlines():
        if joining:
            command = f"{command} {line.strip()}"
        elif line.startswith("$ "):
            if command is not None:
                yield command, expected
            command, expected = line[2:], []
        elif line.strip():
            expected.append(line)
        joining = command is not None and command.endswith("\\") and not expected
        if joining:
            command = (command or "").removesuffix("\\").rstrip()
    assert command is not None, "a console block has commands: lines that begin with '$ '"
    yield command, expected


def check_output(block: Block, command: str, expected: list[str], said: str) -> None:
    """Check that the expected lines come in this order; spaces do not count, `...` is anything."""
    rest = squeezed(said)
    for line in expected:
        if line.strip() == "...":
            continue
        pattern = ".*?".join(re.escape(part.strip()) for part in line_parts(line))
        found = re.search(pattern, rest, re.DOTALL if line.startswith("...") else 0)
        assert found, f"{block.at}: {command}\nshould have said: {line}\nbut said:\n{said}"
        rest = rest[found.end() :]


def line_parts(line: str) -> list[str]:
    """Return what stands between the dots."""
    return squeezed(line).split("...")


def squeezed(text: str) -> str:
    """Return the text with single spaces, line ends kept."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())
