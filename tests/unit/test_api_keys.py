"""API keys: shown once, kept as digests, gone when their line is."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headwater.adapters.api_keys import ApiKeys, new_api_key
from headwater.adapters.system import SystemClock
from headwater.edge.auth import NoVerifier, Schemes, guard
from headwater.edge.http import Request
from headwater.edge.problems import Unauthenticated
from headwater.errors import AuthUnavailable, ConfigurationError
from headwater.model.api import authenticated, role, scope
from headwater.model.identity import Identity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock(SystemClock):
    at = NOW.timestamp()

    def wall(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def kept(folder: Path, *lines: str, clock: Clock | None = None) -> ApiKeys:
    path = folder / "keys.toml"
    path.write_text("# programs\n" + "\n".join(lines) + "\n")
    return ApiKeys(path, clock=clock or Clock(), refuse=Unauthenticated)


def test_a_new_key_is_let_in_by_its_line(tmp_path):
    """Everything that was said about it comes back as the identity."""
    key, line = new_api_key(
        'the "press" \\ é', roles=("editor", "reader"), scopes=("a:b",), tenant="north", expires=NOW + timedelta(days=1)
    )
    found = kept(tmp_path, line).verify(key)
    assert found == Identity(subject='the "press" \\ é', roles=("editor", "reader"), scopes=("a:b",), tenant="north")


def test_the_line_does_not_tell_the_key():
    """Only a digest is kept, and two keys are never alike."""
    made = [new_api_key("press") for _ in range(200)]
    for key, line in made:
        secret = key.split("_", 2)[2]
        assert len(secret) == 43  # 256 bits
        assert secret not in line
        assert hashlib.sha256(secret.encode()).hexdigest() in line
    assert len({key for key, _ in made}) == len({key[3:15] for key, _ in made}) == 200


def test_a_key_that_is_not_exactly_one_of_ours_is_not_believed(tmp_path):
    """Changed, cut, of another id, of another form: one answer for all."""
    (key, line), (other, other_line) = new_api_key("press"), new_api_key("desk")
    mine = kept(tmp_path, line, other_line)
    name, secret = key[3:15], key[16:]
    swapped = "B" if secret[0] == "A" else "A"
    wrong = [
        "", "hw_", key[:-1], key + "A", f"hw_{name}_{swapped}{secret[1:]}", f"hw_{other[3:15]}_{secret}", key.upper(),
        f"hw_{'0' * 12}_{secret}", f"hw_{name}_{'A' * 43}", f"hw_{name}_{hashlib.sha256(secret.encode()).hexdigest()[:43]}",
        f" {key}", f"{key}\n", f"hw_{name.replace(name[0], 'é')}_{secret}", f"hw__{secret}", f"hw_../../etc/pw_{secret}",
    ]
    said = set()
    for text in wrong:
        with pytest.raises(Unauthenticated) as caught:
            mine.verify(text)
        said.add(str(caught.value))
    assert said == {"the key is not believed"}
    assert mine.verify(key).subject == "press"


def test_a_key_expires_and_a_line_that_is_taken_out_counts_no_more(tmp_path):
    """S15: within five seconds, without a restart; and a new line counts too."""
    clock = Clock()
    (key, line), (late, late_line) = new_api_key("press", expires=NOW + timedelta(minutes=1)), new_api_key("desk")
    mine = kept(tmp_path, line, clock=clock)
    assert mine.verify(key).subject == "press"
    clock.at += 60
    with pytest.raises(Unauthenticated, match="expired"):
        mine.verify(key)
    (tmp_path / "keys.toml").write_text(late_line)
    clock.at += 2
    assert mine.verify(late).subject == "desk"
    (tmp_path / "keys.toml").write_text("")
    clock.at += 2
    with pytest.raises(Unauthenticated):
        mine.verify(late)


def test_s24_keys_that_cannot_be_read_let_nobody_in(tmp_path):
    """A broken file counts as before for five seconds, then for nothing."""
    clock = Clock()
    key, line = new_api_key("press")
    mine = kept(tmp_path, line, clock=clock)
    (tmp_path / "keys.toml").write_text("oops")
    clock.at += 3
    assert mine.verify(key)
    clock.at += 3
    with pytest.raises(AuthUnavailable):
        mine.verify(key)


DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("oops", "keys.toml"), ('a = {subject = "x"}', "sha256"), ('a = {sha256 = "x", subject = "x"}', "64 hex"),
        (f'a = {{sha256 = "{DIGEST}"}}', "subject"), (f'a = {{sha256 = "{DIGEST}", subject = "x", admin = true}}', "admin"),
        (f'a = {{sha256 = "{DIGEST}", subject = "system"}}', "not one that comes from outside"),
        (f'a = {{sha256 = "{DIGEST}", subject = "service:x"}}', "not one that comes from outside"),
        (f'a = {{sha256 = "{DIGEST}", subject = "x", expires = 2026-01-01T00:00:00}}', "offset"),
        (f'a = {{sha256 = "{"0" * 64}", subject = "x"}}', "64 hex"), (f'a = {{sha256 = "{DIGEST}", subject = "x", roles = "y"}}', "roles"),
    ],
)
def test_a_file_with_a_mistake_does_not_start(tmp_path, line, said):
    """What is wrong is named."""
    with pytest.raises(ConfigurationError, match=said):
        kept(tmp_path, line)


@pytest.mark.parametrize("subject", ["", "system", "service:orders", "a\nb", "\x7f"])
def test_no_key_is_made_for_a_name_of_the_applications_own(subject):
    """Nobody becomes the system by a slip on the command line."""
    with pytest.raises(ConfigurationError):
        new_api_key(subject)


def test_a_route_takes_keys_where_there_are_any(tmp_path):
    """`Authorization: ApiKey ...`, any case; roles and scopes as with tokens; no other scheme takes a key."""
    key, line = new_api_key("press", roles=("staff",), scopes=("a",))
    with_keys, without = Schemes(NoVerifier(), api_key=kept(tmp_path, line)), Schemes(NoVerifier())

    def ask(auth, verifier, value: str) -> Identity:
        return guard(auth, verifier)(Request("GET", b"/", b"", {b"authorization": value.encode()}))

    for auth in (authenticated, role("staff"), scope("a"), role("staff") & scope("a")):
        assert ask(auth, with_keys, f"apikey  {key}").subject == "press"
    for value, verifier in ((f"ApiKey {key}", without), (f"Bearer {key}", with_keys), (key, with_keys), ("ApiKey", with_keys)):
        with pytest.raises(Unauthenticated):
            ask(authenticated, verifier, value)
