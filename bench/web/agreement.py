"""Whether a contender does the work: every case is asked once, and once wrongly, before anything is measured."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping

from bench.web.cases import CASES, Case

__all__ = ["disagreement"]


def disagreement(port: int, cases: list[str]) -> str | None:
    """Return in what an answer differs from what everybody answers; None when none does."""
    for name in cases:
        found = _disagreement(port, CASES[name])
        if found is not None:
            return f"{CASES[name].title}: {found}"
    return None


def _disagreement(port: int, case: Case) -> str | None:
    status, body = _ask(port, case.path + ("1" if case.spread else ""), case.body, case.headers)
    try:
        same = json.loads(body) == case.answer
    except ValueError:
        same = False
    if status != 200 or not same:
        return f"{status} {body[:200]!r} in place of 200 {json.dumps(case.answer)}"
    if case.wrong is None:
        return None
    path, wrong = case.wrong
    status, body = _ask(port, path, wrong, case.headers)
    return None if status in (400, 404, 422) else f"a wrong request was answered with {status} {body[:200]!r}"


def _ask(port: int, path: str, body: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        said = {**headers, "Accept-Encoding": "identity", **({"Content-Type": "application/json"} if body else {})}
        connection.request("POST" if body else "GET", path, body or None, said)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
