"""Headers that keep browsers from doing more with an answer than it is for (S11, S20)."""

from __future__ import annotations

import base64
import hashlib
import os
import re

import pytest

from headwater.edge.security import api_headers, nonce, page_headers, source_hash


def rules(headers) -> dict[str, str]:
    policy = dict(headers)[b"content-security-policy"].decode()
    return {name: value for name, _, value in (rule.partition(" ") for rule in policy.split("; "))}


@pytest.mark.parametrize("tls", [False, True])
def test_data_is_only_data(tls):
    """Nothing in an answer runs, loads or is framed; over TLS the browser remembers to use it."""
    found = dict(api_headers(tls=tls))
    assert rules(api_headers(tls=tls)) == {"default-src": "'none'", "frame-ancestors": "'none'"}
    assert (found[b"x-content-type-options"], found[b"referrer-policy"]) == (b"nosniff", b"no-referrer")
    assert found[b"cross-origin-resource-policy"] == b"same-origin"
    assert (b"strict-transport-security" in found) is tls
    assert dict(api_headers(tls=tls, cors=True))[b"cross-origin-resource-policy"] == b"cross-origin"


def test_a_page_runs_what_it_was_given_and_nothing_else():
    """No 'unsafe-inline', no 'unsafe-eval', no other host, no plug-ins, no frames, no base."""
    word = nonce(os.urandom)
    found = rules(page_headers(tls=True, scripts=[f"'nonce-{word}'"], styles=[source_hash("body{}")], events=True))
    assert found["script-src"] == f"'nonce-{word}'"
    assert found["style-src"] == "'sha256-" + base64.b64encode(hashlib.sha256(b"body{}").digest()).decode() + "'"
    assert found["connect-src"] == "'self'"
    assert found["default-src"] == found["base-uri"] == found["object-src"] == found["frame-ancestors"] == "'none'"
    bare = rules(page_headers(tls=False))
    assert bare["script-src"] == bare["style-src"] == bare["connect-src"] == "'none'"
    for headers in (page_headers(tls=True), page_headers(tls=False, scripts=["'self'"])):
        assert b"unsafe" not in dict(headers)[b"content-security-policy"]
        assert b"*" not in dict(headers)[b"content-security-policy"]


def test_s34_a_nonce_is_new_each_time_and_cannot_be_guessed():
    """At least 128 bits, in letters that need no quoting."""
    words = {nonce(os.urandom) for _ in range(1000)}
    assert len(words) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,}", word) for word in words)


@pytest.mark.parametrize("headers", [api_headers(tls=True), page_headers(tls=True, scripts=["'self'"])])
def test_header_lines_are_lines(headers):
    """Lower-case names, each once, no line breaks."""
    names = [name for name, _ in headers]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and b"\n" not in value and b"\r" not in value for name, value in headers)
