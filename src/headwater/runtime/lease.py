"""Who works on a subscription: a row with an owner, an expiry and a fencing token.

The lease is claimed, renewed and checked in the same transaction as the work, by one statement. So
a holder that was asleep past its expiry cannot commit: its token is no longer the one in the row.
Expiry only decides how soon somebody else may try; safety never rests on a clock.
"""

from __future__ import annotations

from headwater.ports import Clock, Unit

__all__ = ["Claim", "Lease"]

TTL_SECONDS = 3.0

_CLAIM = """insert into hw_lease (name, owner, token, expires, clean) values (:name, :owner, 1, :expires, 0)
on conflict (name) do update set
    owner = excluded.owner, expires = excluded.expires, clean = 0,
    token = hw_lease.token + case when hw_lease.owner = excluded.owner then 0 else 1 end
where hw_lease.owner = excluded.owner or hw_lease.expires < :now
    or substr(hw_lease.owner, 1, length(:instance)) <> :instance
    or substr(hw_lease.owner, 1, length(:slot)) = :slot"""
_STATE = "select owner, token, clean from hw_lease where name = :name"
_RELEASE = "update hw_lease set clean = 1, expires = 0 where name = :name and owner = :owner"


class Claim:
    """A lease as it was claimed. `careful`: the last holder ended in the middle of its work."""

    __slots__ = ("careful", "token")

    def __init__(self, token: int, *, careful: bool) -> None:
        self.token = token
        self.careful = careful


class Lease:
    """One subscription's lease, seen from one process. `owner` is `instance:slot:run`.

    Another *instance* cannot be alive (the data folder has one), and another run in the same *slot*
    cannot either, so their leases are void at once; other slots' count until they expire.
    """

    __slots__ = ("_clock", "_instance", "_slot", "name", "owner", "seconds")

    def __init__(self, name: str, owner: str, clock: Clock) -> None:
        self.name = name
        self.owner = owner
        instance, slot, _run = owner.split(":")
        self._instance = f"{instance}:"
        self._slot = f"{instance}:{slot}:"
        self._clock = clock
        self.seconds = TTL_SECONDS

    async def claim(self, unit: Unit) -> Claim | None:
        """Claim or renew inside a unit; None when somebody else holds it."""
        rows = await unit.fetch(_STATE, {"name": self.name})
        owner, token, clean = rows[0] if rows else ("", 0, 1)
        mine = owner == self.owner
        now = self._clock.wall()
        claim = {
            "name": self.name, "owner": self.owner, "expires": now + self.seconds, "now": now,
            "instance": self._instance, "slot": self._slot,
        }
        if await unit.execute(_CLAIM, claim) != 1:
            return None
        return Claim(token if mine else token + 1, careful=not mine and not clean)

    async def release(self, unit: Unit) -> None:
        """Say that no work is under way; the next holder need not be careful."""
        await unit.execute(_RELEASE, {"name": self.name, "owner": self.owner})
