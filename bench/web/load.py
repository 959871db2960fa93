"""Load from wrk: as many requests as the server takes over a number of connections."""

from __future__ import annotations

import re
import shutil
import subprocess

from bench.web.cases import Case
from bench.web.figures import Sample
from bench.web.server import Server

__all__ = ["LoadFailed", "press", "require_wrk"]

CONNECTIONS = 64
_DONE = """
function done(s)
  local e = s.errors
  io.write('REQUESTS ', s.requests, ' ERRORS ', e.status + e.read + e.timeout + e.connect, ' US ', s.duration, '\\n')
end
"""


class LoadFailed(RuntimeError):
    """Not every request was answered well."""


def require_wrk() -> None:
    """Raise LoadFailed when wrk is not there."""
    if shutil.which("wrk") is None:
        raise LoadFailed("the load comes from wrk, which is not installed: apt-get install wrk, or brew install wrk")


def press(server: Server, case: Case, *, core: int, seconds: float) -> Sample:
    """Return what a server did in that time. Raises LoadFailed when an answer was an error."""
    script = server.folder / "case.lua"
    script.write_text(_script(case))
    before = server.cpu()
    ran = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s",
         str(script), "--timeout", "10s", f"http://127.0.0.1:{server.port}{case.path}"],
        capture_output=True, text=True, check=False,
    )
    cpu = server.cpu() - before
    found = re.search(r"REQUESTS (\d+) ERRORS (\d+) US (\d+)", ran.stdout)
    if found is None or int(found[2]) or not int(found[1]):
        raise LoadFailed(f"{server.name}, {case.title}: {(ran.stdout + ran.stderr)[-300:]}")
    return Sample(int(found[1]) / int(found[3]) * 1e6, cpu / int(found[1]) * 1e6)


def _script(case: Case) -> str:
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in case.headers.items()]
    if case.body:
        lines += ['wrk.method = "POST"', f"wrk.body = [[{case.body}]]"]
        lines += ['wrk.headers["Content-Type"] = "application/json"']
    if case.spread:
        step = f'n = (n * 7 + 13) % {case.spread}; return wrk.format(nil, "{case.path}" .. (n + 1))'
        lines += ["local n = 0", f"function request() {step} end"]
    return "\n".join(lines) + _DONE
