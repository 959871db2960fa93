"""How a client talks to its server, and what became of a call that has no answer.

A call ends in one of four ways: a value, a declared `Failure`, `NotExecuted` (it certainly
did not run) or `OutcomeUnknown` (it may have run). Every command carries a key under which
it happens once, so it is tried again without harm while its deadline and the budget for
retries last.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import inspect
import random
import time
import types
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from .outcomes import FieldError, NotExecuted, OutcomeUnknown
from .routes import Route, new_key

__all__ = ["ApiClient", "Retries"]

R = TypeVar("R")
Credential = str | Callable[[], str] | Callable[[], Awaitable[str]]
GRACE_SECONDS = 0.25
"""The server keeps the deadline too; its answer gets this long to arrive."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retries:
    """When a call is tried again.

    most: attempts of one call, the first included. share: retries for each call that the
    client makes, so that a struggling server gets at most so much more load. reserve: how
    many may be saved up. The n-th wait is drawn between 0 and `first * 2**(n-1)` seconds,
    at most `longest`; a server that asks for a longer one gets it.
    """

    most: int = 4
    share: float = 0.1
    reserve: float = 10.0
    first: float = 0.1
    longest: float = 5.0


class _Budget:
    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._saved = retries.reserve

    def called(self) -> None:
        self._saved = min(self._saved + self._retries.share, self._retries.reserve)

    def take(self) -> bool:
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


# --- the client -----------------------------------------------------------------------


class ApiClient:
    """One session with one server: connections are kept, and it sees its own writes.

    token: a bearer token, or a function that returns one for each attempt. api_key: for
    programs, in place of a token. http: a client of your own, which you close yourself.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Credential | None = None,
        api_key: str | None = None,
        retries: Retries | None = None,
        connect_within: float = 2.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        if token is not None and api_key is not None:
            raise ValueError("give a token or an API key, not both")
        self._address = address.rstrip("/")
        self._token = token
        self._api_key = api_key
        self._retries = retries or Retries()
        self._budget = _Budget(self._retries)
        self._connect_within = connect_within
        self._mine = http is None
        self._http = http or httpx.AsyncClient()
        self._positions: dict[str, int] = {}
        self.session_token: str | None = None

    async def __aenter__(self) -> typing.Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: types.TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, unless they belong to a client of your own."""
        if self._mine:
            await self._http.aclose()

    async def _ask(
        self,
        route: Route[R],
        message: msgspec.Struct,
        *,
        within: float | None = None,
        key: str | None = None,
    ) -> R:
        """Make one call, in as many attempts as make sense."""
        target, body = route.request(message)
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if not route.is_query and route.key is None:
            headers["idempotency-key"] = key or new_key()
        budget = route.within if within is None else min(within, route.within)
        deadline = time.monotonic() + budget
        unknown: OutcomeUnknown | None = None
        told: NotExecuted | OutcomeUnknown
        self._budget.called()
        for attempt in range(1, self._retries.most + 1):
            try:
                return await self._try(route, target, body, headers, deadline)
            except OutcomeUnknown as error:
                unknown, told = error, error
                again = _may_pass(error)
            except NotExecuted as error:
                told = _in_all(error, unknown)
                again = error.status in (None, 429, 503, 507)
            wait = self._wait(attempt, told.retry_after)
            if not again or time.monotonic() + wait >= deadline:
                raise told
            if attempt == self._retries.most or not self._budget.take():
                raise told
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, attempt: int, asked: float | None) -> float:
        most = min(self._retries.first * 2.0 ** (attempt - 1), self._retries.longest)
        return (asked or 0.0) + random.uniform(0.0, most)  # noqa: S311 - no secret

    async def _try(
        self,
        route: Route[R],
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> R:
        sent = {**headers, **await self._credentials()}
        if self.session_token is not None:
            sent["session-token"] = self.session_token
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotExecuted("the deadline passed before it was sent", code="expired")
        sent["request-timeout"] = f"{max(left, 0.000001):.6f}"
        answer = await self._send(route, target, body, sent, left)
        self._remember(answer.headers.get("session-token"))
        return self._read(route, answer)

    async def _credentials(self) -> dict[str, str]:
        if self._api_key is not None:
            return {"authorization": f"ApiKey {self._api_key}"}
        token = self._token
        if token is None:
            return {}
        if not isinstance(token, str):
            made = token()
            token = await made if inspect.isawaitable(made) else made
        return {"authorization": f"Bearer {token}"}

    async def _send(
        self,
        route: Route[R],
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        left: float,
    ) -> httpx.Response:
        limits = httpx.Timeout(
            left + GRACE_SECONDS, connect=min(left, self._connect_within), pool=left
        )
        told = f"{route.method} {route.path}"
        try:
            async with asyncio.timeout(left + 2 * GRACE_SECONDS):
                return await self._http.request(
                    route.method,
                    f"{self._address}{target}",
                    content=body,
                    headers=headers,
                    timeout=limits,
                    follow_redirects=False,
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotExecuted(
                f"{told}: no connection: {str(error) or type(error).__name__}",
                code="unreachable",
            ) from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise OutcomeUnknown(
                f"{told}: no answer in time", code="no-answer"
            ) from error
        except httpx.TransportError as error:
            raise OutcomeUnknown(
                f"{told}: the connection broke: {str(error) or type(error).__name__}",
                code="connection-lost",
            ) from error

    def _read(self, route: Route[R], answer: httpx.Response) -> R:
        told = f"{route.method} {route.path}"
        try:
            if answer.status_code == 204 and route.is_optional:
                return route.value(b"null")
            if 200 <= answer.status_code < 300:
                return route.value(answer.content)
            problem = _problem(answer)
            if route.is_optional and _is_nothing(route, answer, problem):
                return route.value(b"null")
            refused = route.refusal(problem.code, problem.failure)
        except msgspec.MsgspecError as error:
            raise OutcomeUnknown(
                f"{told}: an answer that cannot be read: {error}",
                code="broken-answer",
                status=answer.status_code,
            ) from error
        if refused is not None:
            raise refused
        wrong = "".join(f"; {one.pointer}: {one.detail}" for one in problem.errors)
        clean = 400 <= answer.status_code < 500 or answer.status_code in (503, 507)
        raise (NotExecuted if clean else OutcomeUnknown)(
            f"{told}: {answer.status_code} {problem.code}: {problem.detail}{wrong}",
            code=problem.code,
            status=answer.status_code,
            errors=problem.errors,
            retry_after=_seconds(answer.headers.get("retry-after")),
            request_id=problem.request_id,
        )

    def _remember(self, told: str | None) -> None:
        """Keep the furthest position of each part that a write has told of."""
        if told is None:
            return
        try:
            raw = base64.urlsafe_b64decode(told + "=" * (-len(told) % 4))
            positions = msgspec.json.decode(raw, type=dict[str, int])
        except (ValueError, msgspec.MsgspecError):
            self.session_token = told
            return
        for part, position in positions.items():
            self._positions[part] = max(position, self._positions.get(part, 0))
        packed = base64.urlsafe_b64encode(msgspec.json.encode(self._positions))
        self.session_token = packed.decode().rstrip("=")


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""
    instance: str = ""
    errors: tuple[FieldError, ...] = ()
    failure: Any = None

    @property
    def request_id(self) -> str:
        return self.instance.removeprefix("urn:request:")


def _problem(answer: httpx.Response) -> _Problem:
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind != "application/problem+json":
        return _Problem(detail=answer.reason_phrase)
    return msgspec.json.decode(answer.content, type=_Problem)


def _is_nothing(route: Route[Any], answer: httpx.Response, problem: _Problem) -> bool:
    """Whether a query found nothing: a route that was reached gives requests an id."""
    nothing = answer.status_code == 404 and problem.code == "not-found"
    return route.is_query and nothing and bool(problem.request_id)


def _seconds(told: str | None) -> float | None:
    return float(told) if told is not None and told.isdecimal() else None


def _may_pass(error: OutcomeUnknown) -> bool:
    """Whether an attempt with the same key may tell more; a crash would be the same."""
    return error.status in (None, 502, 504) or error.code == "commit-unknown"


def _in_all(
    last: NotExecuted, before: OutcomeUnknown | None
) -> NotExecuted | OutcomeUnknown:
    """Return the outcome of all attempts: one that may have run is not undone by another."""
    if before is None:
        return last
    whole = OutcomeUnknown(
        f"{before}; and then {last}",
        code=before.code,
        status=before.status,
        retry_after=last.retry_after,
    )
    whole.__cause__ = last
    return whole
