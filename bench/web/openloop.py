"""Load at a constant rate: requests are due by a fixed schedule, and time counts from when each was due.

So a server that stands still for a while is charged for everybody who would have come meanwhile, not for those few
whose connection happened to wait (coordinated omission). Run in a process of its own:

    python -m bench.web.openloop --port 8000 --case hello --rate 5000 --seconds 4
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

import msgspec

from bench.prepare import ROOT
from bench.web.cases import CASES, Case
from bench.web.figures import Tail
from bench.web.server import Server

__all__ = ["constant", "drive"]

CONNECTIONS = 64
PATIENCE = 5.0
NAP = 0.001


def constant(server: Server, case: str, *, core: int, rate: int, seconds: float) -> Tail:
    """Return the times to answer of a server at a constant rate."""
    ran = subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-m", "bench.web.openloop", "--port", str(server.port), "--case",
         case, "--rate", str(rate), "--seconds", str(seconds)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )
    if ran.returncode:
        raise RuntimeError(f"{server.name}, {case} at {rate}/s: {ran.stderr[-300:]}")
    return msgspec.json.decode(ran.stdout, type=Tail)


def drive(port: int, request: bytes, *, rate: int, seconds: float) -> Tail:
    """Send by schedule and wait for all answers. Raises OSError or ValueError when one is not 200."""
    gap, total = 1 / rate, int(rate * seconds)
    took: list[float] = []
    slept = 0.0
    with _connections(port) as (poll, links):
        idle, due = list(links.values()), dict.fromkeys(links, 0.0)
        sent, start = 0, perf_counter() + 0.05
        before = start
        while len(took) < total:
            now = perf_counter()
            if now - before > NAP:  # somebody else had our core: what is measured then is not the server
                slept += now - before
            before = now
            while sent < total and idle and start + sent * gap <= now:
                link = idle.pop()
                due[link.fileno()] = start + sent * gap
                link.send(request)
                sent += 1
            for number, _ in poll.poll(0):
                _check(links[number].recv(65536))
                took.append(perf_counter() - due[number])
                idle.append(links[number])
            if now > start + seconds + PATIENCE:
                raise ValueError(f"{total - len(took)} of {total} requests were not answered in time")
    took.sort()
    ms = [took[min(total - 1, int(total * share))] * 1000 for share in (0.5, 0.99)]
    return Tail(ms[0], ms[1], took[-1] * 1000, slept / seconds)


def request_of(case: Case) -> bytes:
    """Return a case as bytes."""
    headers = {"Host": "127.0.0.1", **case.headers}
    if case.body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(case.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{'POST' if case.body else 'GET'} {case.path} HTTP/1.1\r\n{head}\r\n{case.body}".encode()


@contextlib.contextmanager
def _connections(port: int) -> Iterator[tuple[select.epoll, dict[int, socket.socket]]]:
    with contextlib.ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        links: dict[int, socket.socket] = {}
        for _ in range(CONNECTIONS):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setblocking(False)
            poll.register(link, select.EPOLLIN)
            links[link.fileno()] = link
        yield poll, links


def _check(answer: bytes) -> None:
    # The answers measured here are a few hundred bytes, written at once; one that is not is an error, not waited for.
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"}"):
        raise ValueError(f"not a whole answer with status 200: {answer[:200]!r}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--case", choices=sorted(CASES), required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    said = parser.parse_args()
    tail = drive(said.port, request_of(CASES[said.case]), rate=said.rate, seconds=said.seconds)
    print(json.dumps(msgspec.structs.asdict(tail)))


if __name__ == "__main__":
    main()
