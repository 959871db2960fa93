"""Headers that keep browsers from doing more with an answer than it is for (S11, S20)."""

from __future__ import annotations

import pytest

from headwater.edge.http import STANDARD
from headwater.edge.security import api_headers, strict_transport


def lines(block: bytes) -> dict[str, str]:
    assert block.endswith(b"\r\n")
    pairs = [line.partition(": ") for line in block.decode().split("\r\n")[:-1]]
    assert len(pairs) == len({name for name, _, _ in pairs})
    assert all(name == name.lower() for name, _, _ in pairs)
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("block", [api_headers(), STANDARD])
def test_data_is_only_data(block):
    """Nothing in an answer runs, loads, is framed or guessed at, and its address is told to nobody."""
    found = lines(block)
    assert found["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (found["x-content-type-options"], found["referrer-policy"]) == ("nosniff", "no-referrer")
    assert found["cross-origin-resource-policy"] == "same-origin"


def test_who_may_read_may_embed():
    assert lines(api_headers(cors=True))["cross-origin-resource-policy"] == "cross-origin"


def test_tls_from_now_on():
    assert lines(strict_transport(60)) == {"strict-transport-security": "max-age=60"}
    assert strict_transport(0) == b""
