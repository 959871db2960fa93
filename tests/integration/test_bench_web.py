"""The benchmark's parts against real servers: agreement, the open loop's honesty, and that nothing is left running."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_server, socket

import pytest

from bench.prepare import PLACE, ROOT
from bench.web import agreement
from bench.web.contenders import CONTENDERS
from bench.web.openloop import drive
from bench.web.server import NotStarted, Server, answers, running

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
pytestmark = pytest.mark.skipif(shutil.which("taskset") is None, reason="servers are kept on a core by taskset")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: what is served on a socket in it must fit into 107 bytes."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def core() -> int:
    return min(os.sched_getaffinity(0))


def serve(listener: socket, *, stall: float, after: int, answer: bytes) -> None:
    """Answer on all connections from one thread, and stand still once; ends when the first client leaves."""
    links, count = {}, 0
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened, poll:
        while True:
            for number, _ in poll.poll(5):
                if number == listener.fileno():
                    link, _ = listener.accept()
                    links[link.fileno()] = opened.enter_context(link)
                    poll.register(link, select.EPOLLIN)
                elif not links[number].recv(4096):
                    return
                else:
                    count += 1
                    if count == after:
                        time.sleep(stall)
                    links[number].send(answer)


@contextlib.contextmanager
def stalling(stall: float = 0.0, after: int = 100, answer: bytes = ANSWER) -> Iterator[int]:
    with create_server(("127.0.0.1", 0)) as listener:
        kept = {"stall": stall, "after": after, "answer": answer}
        thread = threading.Thread(target=serve, args=(listener,), kwargs=kept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_who_would_have_come_during_a_stall_is_counted() -> None:
    with stalling(stall=0.3, after=100) as port:
        tail = drive(port, b"GET / HTTP/1.1\r\n\r\n", rate=1000, seconds=1)
    # a third of all requests were due while the server stood still; a closed loop would have seen 64 slow ones at most
    assert tail.p99 > 200
    assert tail.worst >= 300


def test_a_generator_does_not_take_a_refusal_for_an_answer() -> None:
    with stalling(answer=ANSWER.replace(b"200 OK", b"500 No")) as port, pytest.raises(ValueError, match="500 No"):
        drive(port, b"GET / HTTP/1.1\r\n\r\n", rate=200, seconds=0.2)


def test_our_contender_does_the_work_and_leaves_nothing_behind(folder: Path) -> None:
    ours = CONTENDERS["headwater"]
    with running([ours], python=sys.executable, core=core(), folder=folder) as (servers, left_out):
        assert left_out == []
        (server,) = servers
        assert agreement.disagreement(server.port, list(ours.cases)) is None
        assert server.cpu() > 0
        assert server.memory() > 1
        pids, port = server.pids(), server.port
    assert not answers(port)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_servers_are_stopped_when_the_run_is_interrupted(folder: Path) -> None:
    seen: list[Server] = []
    with (
        pytest.raises(KeyboardInterrupt),
        running([CONTENDERS["headwater"]], python=sys.executable, core=core(), folder=folder) as (servers, _),
    ):
        seen += servers
        raise KeyboardInterrupt
    assert seen[0].process.poll() is not None
    assert not answers(seen[0].port)


def test_who_does_not_start_is_named_with_what_it_said(folder: Path) -> None:
    broken = type(CONTENDERS["headwater"])("broken", ["{python}", "-c", "raise SystemExit('no such thing')"])
    with running([broken], python=sys.executable, core=core(), folder=folder) as (servers, left_out):
        assert servers == []
    assert left_out == ["broken does not start: no such thing"]
    with pytest.raises(NotStarted):
        Server(broken, python=sys.executable, core=core(), folder=folder).wait()


def test_without_wrk_it_says_what_to_install() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bench"], capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": "/nowhere"},
    )
    assert ran.returncode == 2
    assert "apt-get install wrk" in ran.stderr


@pytest.mark.real
@pytest.mark.skipif(not (PLACE / "bin/python").exists(), reason="`make bench` has not installed the contenders here")
@pytest.mark.skipif(shutil.which("wrk") is None, reason="the load comes from wrk")
def test_ctrl_c_leaves_no_server_behind(folder: Path) -> None:
    command = [sys.executable, "-m", "bench", "--only", "headwater+granian rsgi", "--cases", "hello", "--rounds", "20"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}, cwd=ROOT
    ) as ran:
        assert ran.stderr is not None
        said = [line for _, line in zip(range(2), iter(ran.stderr.readline, ""), strict=False)]
        assert "round 1" in said[1]
        assert of_folder(folder)
        ran.send_signal(signal.SIGINT)
        rest = ran.stderr.read()
    assert ran.returncode == 130
    assert "every server was stopped" in rest
    assert of_folder(folder) == []


def of_folder(folder: Path) -> list[int]:
    """Return the processes that were started with a variable that names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"BENCH_FOLDER={folder}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.mark.real
@pytest.mark.skipif(not (PLACE / "bin/python").exists(), reason="`make bench` has not installed the contenders here")
@pytest.mark.parametrize("name", list(CONTENDERS))
def test_every_contender_answers_each_case_alike(name: str, folder: Path) -> None:
    contender = CONTENDERS[name]
    python = str(PLACE / "bin/python")
    with running([contender], python=python, core=core(), folder=folder) as (servers, left_out):
        assert left_out == []
        assert agreement.disagreement(servers[0].port, list(contender.cases)) is None
