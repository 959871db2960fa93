"""The topology file: its defaults, and one line for every kind of mistake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.errors import ConfigurationError
from headwater.ports import POINTS
from headwater.topology.crash import crash_points
from headwater.topology.file import Topology, TopologyError, load_topology
from headwater.topology.secrets import Secret, development_key, resolve


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Every section may be written, and what is left out has its default."""
    path = tmp_path / "t.toml"
    path.write_text(
        '[data]\ndurability = "process"\n[http]\nport = 9000\n[auth]\n'
        'keys = [{id = "a", key = "env:KEY"}]\n[events]\nduplicate = 0.5\n[process]\nencode = true\n'
    )
    said = load_topology(path)
    assert (said.data.durability, said.http.port, said.http.host) == ("process", 9000, "127.0.0.1")
    assert said.auth.keys[0].algorithm == "HS256"
    assert said.process.encode
    assert Topology().data.durability == "disk"


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ('[traces]\nratio = 0.1\notlp_secret = "abc"\n', 3, "plain-secret"),
        ("[traces]\nratio = 2.0\n", 2, "wrong-type"),
        ("[data]\n\n[htp]\nport = 1\n", 3, "unknown-key"),
        ("[http]\nprot = 1\n", 2, "unknown-key"),
        ("[http]\nport = 1\nport = 2\n", 3, "duplicate-key"),
        ('[http]\nhost = "a"\nport = "x"\n', 3, "wrong-type"),
        ("[events]\nduplicate = 2.0\n", 2, "wrong-type"),
        ('[data]\nengine = "postgresql"\n', 2, "unsupported-engine"),
        ('[http]\nport = 1\n[[auth.keys]]\nid = "a"\nkey = "hunter2hunter2"\n', 5, "plain-secret"),
        ("", 1, "empty"),
        ("[http\n", 1, "syntax"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, code: str) -> None:
    """The error has the file, the line and a stable code."""
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(TopologyError) as caught:
        load_topology(path)
    assert (caught.value.where, caught.value.code) == (f"{path}:{line}", code)
    assert "hunter2" not in str(caught.value)


def test_bytes_that_are_no_text_and_too_many_bytes_are_refused(tmp_path: Path) -> None:
    """Neither reaches the TOML parser."""
    path = tmp_path / "t.toml"
    path.write_bytes(b"[http]\nhost = '\xff'\n")
    with pytest.raises(TopologyError, match="not UTF-8"):
        load_topology(path)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(TopologyError, match="longer"):
        load_topology(path)


def test_secrets_come_by_reference_and_do_not_show(tmp_path: Path) -> None:
    """A secret is found through env: or file:, and neither str nor repr shows it."""
    (tmp_path / "k").write_text("hush\n")
    assert resolve("file:k", environment={}, folder=tmp_path).reveal() == b"hush"
    assert "hush" not in f"{resolve('env:K', environment={'K': 'hush'}, folder=tmp_path)!r}"
    with pytest.raises(ConfigurationError, match="NOPE"):
        resolve("env:NOPE", environment={}, folder=tmp_path)
    assert str(Secret(b"x")) == "Secret('***')"


def test_the_development_key_is_made_once_and_private(tmp_path: Path) -> None:
    """The second reading returns the same key; only the owner may read it."""
    assert development_key(tmp_path) == development_key(tmp_path)
    assert (tmp_path / "dev.key").stat().st_mode & 0o777 == 0o600


def test_an_unknown_crash_point_is_refused() -> None:
    """A typing mistake in HEADWATER_CRASH_AT must not look like a test that passed."""
    assert crash_points({}).strike is None
    assert crash_points({"HEADWATER_CRASH_AT": f"{next(iter(POINTS))}:2"}).strike is not None
    for wrong in ("tx.nowhere:1", "tx.begun:0", "tx.begun:x"):
        with pytest.raises(ConfigurationError, match="HEADWATER_CRASH_AT"):
            crash_points({"HEADWATER_CRASH_AT": wrong})


def test_a_crash_point_kills_at_its_nth_passing() -> None:
    """The process ends by SIGKILL at the second passing, not at the first."""
    code = (
        "import os; from headwater.topology.crash import crash_points; p = crash_points(os.environ);"
        "p.hit('tx.begun'); p.hit('tx.after_commit'); print('once', flush=True); p.hit('tx.begun'); print('twice')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "HEADWATER_CRASH_AT": "tx.begun:2"}, capture_output=True,
        text=True, timeout=30, check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "once\n")
