"""A patient HTTP client: asks the same thing again until it is answered."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = ["Client", "GaveUp", "Refused"]

TRY_SECONDS = 15.0
PAUSE_SECONDS_MOST = 1.0


class Refused(Exception):
    """The shop answered, and the answer is no."""

    def __init__(self, what: str, status: int, body: bytes) -> None:
        self.status = status
        super().__init__(f"{what}: {status} {body.decode(errors='replace')[:500]}")


class GaveUp(Exception):
    """There was no answer for as long as patience lasted."""


class Client:
    """One connection for each thread, kept open; every request may be sent more than once.

    patience: seconds that one request is tried again after lost connections and answers of 429 and 5xx.
    """

    def __init__(self, base_url: str, *, token: str | None, patience: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"--base-url {base_url!r}: write it as http://127.0.0.1:8000")
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = {"accept": "application/json", "content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._patience = patience
        self._local = threading.local()
        self.retries = 0

    def get(self, *path: str) -> Any | None:
        """Return what is at a path (its segments are escaped), None when nothing is."""
        try:
            return self._send("GET", path, None)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def post(self, *path: str, body: Mapping[str, object]) -> Any:
        """Post; the body must carry what makes repeats harmless."""
        return self._send("POST", path, body)

    def put(self, *path: str, body: Mapping[str, object]) -> Any:
        """Put."""
        return self._send("PUT", path, body)

    def _send(self, method: str, path: tuple[str, ...], body: Mapping[str, object] | None) -> Any:
        url = self._prefix + "".join(f"/{quote(segment, safe='')}" for segment in path)
        data = None if body is None else json.dumps(body).encode()
        give_up = time.monotonic() + self._patience
        pause = 0.05
        while True:
            try:
                status, answer = self._once(method, url, data)
                if status < 300:
                    return json.loads(answer)
                if status != 429 and status < 500:
                    raise Refused(f"{method} {url}", status, answer)
                trouble = f"{status} {answer.decode(errors='replace')[:200]}"
            except (OSError, http.client.HTTPException) as error:
                self._forget()
                trouble = f"{type(error).__name__}: {error}"
            if time.monotonic() + pause > give_up:
                raise GaveUp(f"{method} {url}: no answer for {self._patience:.0f} s; at last: {trouble}")
            self.retries += 1
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, not a secret
            pause = min(2 * pause, PAUSE_SECONDS_MOST)

    def _once(self, method: str, url: str, data: bytes | None) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._tls else http.client.HTTPConnection
            connection = self._local.connection = kind(self._host, self._port, timeout=TRY_SECONDS)
        connection.request(method, url, body=data, headers=self._headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _forget(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None
