"""Rate limits: exact against a slow model, bounded in memory, and not to be shaken off (S12)."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pytest

from headwater import Api, Command, Limit, contract, public
from headwater.adapters.system import SystemClock
from headwater.edge.http import Request
from headwater.edge.limits import SHARED_CELLS, Limiter, RateLimits, Throttled
from headwater.edge.problems import problem_of
from headwater.model.identity import Identity


class Bucket:
    """The slow exact model: a bucket of tokens that fills with time, in fractions."""

    def __init__(self, limit: Limit) -> None:
        self.rate = 1 / Fraction(limit.period)
        self.burst = limit.burst
        self.tokens = Fraction(limit.burst)
        self.at = Fraction(0)

    def check(self, now: Fraction) -> Fraction | None:
        self.tokens = min(Fraction(self.burst), self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return None
        return (1 - self.tokens) / self.rate


@pytest.mark.parametrize("seed", range(60))
def test_it_agrees_with_a_bucket_of_tokens(seed):
    """Any limit, any times, several callers: the same answers, and the same waits."""
    chance = random.Random(seed)
    limit = Limit(f"{chance.choice((1, 3, 7, 50, 1000))}/{chance.choice('smh')}", burst=chance.choice((1, 2, 5, 40)))
    mine, models = Limiter(limit, most=chance.choice((4, 1000))), {}
    now = Fraction(chance.randrange(10**6))
    admitted = refused = 0
    for _ in range(600):
        whole = limit.period * limit.burst * 1.01 if chance.random() < 0.01 else 0.0
        step = chance.choice((0.0, 0.0, limit.period / 30, limit.period / 7, whole))
        now += Fraction(step) * chance.randrange(3)
        key = chance.randrange(4)
        model = models.setdefault(key, Bucket(limit))
        slack = abs((model.tokens + (now - model.at) * model.rate) - 1) * Fraction(limit.period) < Fraction(1, 10**6)
        wait, expected = mine.check(key, float(now)), model.check(now)
        if (wait is None) != (expected is None):
            assert slack  # a hair's breadth from the edge, floats may round either way
            model.tokens = Fraction(0 if wait is None else 1)
            continue
        admitted += wait is None
        refused += wait is not None
        if wait is not None:
            assert abs(wait - float(expected)) < 1e-5
            assert mine.wait(key, float(now) + wait) is None  # waiting as told is enough
            assert mine.wait(key, float(now) + wait * 0.99 - 1e-6) is not None  # and less is not
    assert admitted
    assert refused


def test_a_refusal_costs_nothing():
    """Asking in vain does not make the wait longer."""
    mine = Limiter(Limit("1/s", burst=1))
    assert mine.check("a", 10.0) is None
    waits = [mine.check("a", 10.25) for _ in range(100)]
    assert {round(w or 0, 6) for w in waits} == {0.75}


def test_memory_is_bounded_and_those_at_rest_go_first():
    """A million callers leave no more entries than allowed, and entries at rest make room for new ones."""
    mine = Limiter(Limit("10/s", burst=10), most=1000)
    for n in range(100_000):
        assert mine.check(n, n / 50_000) is None or len(mine) == 1000
    assert len(mine) <= 1000
    assert len(mine._cells) <= SHARED_CELLS
    assert mine.check("late", 100.0) is None
    assert "late" in mine._young
    assert len(mine) <= 1001


def test_a_flood_of_names_does_not_wipe_out_ones_own():
    """Whoever fills the table with made-up callers still has to wait, and so do the made-up ones."""
    mine = Limiter(Limit("1/h", burst=5), most=100)
    for _ in range(5):
        assert mine.check("me", 1.0) is None
    for n in range(50_000):
        mine.check(("made up", n), 1.0 + n / 10_000)
    assert mine.check("me", 7.0) is not None
    late = [mine.check(("later", n), 7.0) for n in range(1000)]
    assert all(wait is not None for wait in late)  # the shared numbers are used up: no new name helps


def test_forgetting_changes_nothing():
    """An entry goes only when it equals no entry."""
    mine = Limiter(Limit("1/s", burst=3), most=10)
    for key in range(10):
        for _ in range(3):
            assert mine.check(key, 0.0) is None
    assert mine.check("new", 2.9) is None  # nobody is at rest yet: counted among the shared
    assert all(mine.wait(key, 0.5) is not None for key in range(10))
    assert mine.check("newer", 4.0) is None
    assert all(mine.left(key, 4.0) == 3 for key in range(10))


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_workers_together_allow_no_more_than_was_declared(workers):
    """Each process counts its share: the rate, and the burst."""
    limit = Limit("80/s", burst=80)
    shares = [Limiter(limit, share=workers) for _ in range(workers)]
    admitted = sum(mine.check("a", 5.0 + step / 1000) is None for mine in shares for step in range(1000))
    assert 80 <= admitted <= 160


@contract("shop.buy", v=1)
class Buy(Command[None]):
    pass


class Clock(SystemClock):
    at = 100.0

    def monotonic(self) -> float:
        return self.at


def gates(*limits: Limit, api: tuple[Limit, ...] = (), routes: int = 1) -> tuple[Clock, list[Any]]:
    clock = Clock()
    v1 = Api("v1", auth=public, limit=api)
    for n in range(routes):
        v1.post(f"/r{n}", Buy, limit=tuple(Limit(one.rate, burst=one.burst, per=one.per) for one in limits))
    made = RateLimits(clock)
    return clock, [made.of(route) for route in v1.routes]


def ask(gate: Any, *, peer: str = "192.0.2.1", **who: Any) -> dict[bytes, bytes] | int:
    request = Request("POST", b"/v1/r0", b"", {}, peer=peer, identity=Identity(**who))
    try:
        return dict(gate(request))
    except Throttled as error:
        return problem_of(error, "r").status


def test_the_answer_says_what_is_left_and_the_refusal_when_to_come_again():
    """RateLimit and RateLimit-Policy as in draft-ietf-httpapi-ratelimit-headers; 429 with Retry-After."""
    clock, [[gate]] = gates(Limit("10/s", burst=2))
    assert ask(gate) == {b"ratelimit-policy": b'"principal-1";q=10;w=1', b"ratelimit": b'"principal-1";r=1;t=1'}
    assert ask(gate) == {b"ratelimit-policy": b'"principal-1";q=10;w=1', b"ratelimit": b'"principal-1";r=0;t=1'}
    with pytest.raises(Throttled) as caught:
        gate(Request("POST", b"/", b"", {}, peer="192.0.2.1"))
    answer = problem_of(caught.value, "r")
    headers = dict(answer.headers)
    assert (answer.status, headers[b"retry-after"], headers[b"ratelimit"]) == (429, b"1", b'"principal-1";r=0;t=1')
    clock.at += caught.value.retry_after or 0
    assert not isinstance(ask(gate), int)


def test_each_principal_has_its_own_and_an_anonymous_one_its_address():
    """Subjects of two tenants are two; anonymous callers count by address."""
    _, [[gate]] = gates(Limit("1/m"))
    first = [ask(gate, subject="ada"), ask(gate, subject="ada", tenant="t"), ask(gate), ask(gate, peer="192.0.2.2")]
    again = [ask(gate, subject="ada", peer="192.0.2.9"), ask(gate, subject="ada", tenant="t"), ask(gate)]
    assert all(isinstance(headers, dict) for headers in first)
    assert again == [429, 429, 429]


def test_an_address_counts_whoever_asks_from_it():
    """per="address": the subject does not matter; of IPv6 the first 64 bits count; asked before authorisation."""
    _, [[gate]] = gates(Limit("1/m", per="address"))
    assert gate.early
    assert isinstance(ask(gate, subject="ada"), dict)
    assert ask(gate, subject="bob") == 429
    assert isinstance(ask(gate, peer="2001:db8:1:1::1"), dict)
    assert ask(gate, peer="2001:db8:1:1:ffff::2") == 429
    assert isinstance(ask(gate, peer="2001:db8:1:2::1"), dict)
    assert ask(gate, peer="::ffff:192.0.2.1") == 429
    assert isinstance(ask(gate, peer="somewhere:odd"), dict)


def test_an_apis_limit_is_for_all_its_routes_and_a_routes_for_itself():
    """The one limit of the API is shared; a request refused by one limit does not count for the other."""
    _, made = gates(Limit("1/m", per="route"), api=(Limit("3/m", burst=3, per="route"),), routes=3)
    [one], [two], [three] = made
    assert isinstance(ask(one), dict)
    assert [ask(one), ask(one)] == [429, 429]
    assert isinstance(ask(two), dict)
    said = ask(three)
    assert isinstance(said, dict)
    assert said[b"ratelimit"].startswith(b'"route-1";r=0;')


def test_a_route_without_limits_has_no_gate():
    """What is not used costs nothing."""
    _, made = gates()
    assert made == [()]


def test_a_wait_is_rounded_up():
    """Retry-After is whole seconds, never too few."""
    _, [[gate]] = gates(Limit("7/m", burst=1))
    assert isinstance(ask(gate), dict)
    with pytest.raises(Throttled) as caught:
        gate(Request("POST", b"/", b"", {}, peer="192.0.2.1"))
    assert dict(caught.value.headers)[b"retry-after"] == str(math.ceil(60 / 7)).encode()


