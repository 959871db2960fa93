"""Answers of idempotent commands, kept in the transaction that made them.

The key is what the contract names, or what came with the request. It belongs to its caller: another
caller with the same key is another request. Only answers are kept; a refusal changed nothing, so
the command may be tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from headwater.errors import IdempotencyConflict, OutcomeUnknown
from headwater.model.codec import Codec
from headwater.model.contract import Contract
from headwater.model.message import Message
from headwater.ports import Row, Store, Unit
from headwater.runtime.scope import NodeCtx

__all__ = ["KEEP_SECONDS", "Answers", "Repeat"]

KEEP_SECONDS = 7 * 86400.0
"""Longer than any redelivery or retry."""

_FIND = "select digest, answer from hw_answer where contract = :contract and caller = :caller and key = :key"
_KEEP = """insert into hw_answer (contract, caller, key, digest, answer, at)
values (:contract, :caller, :key, :digest, :answer, :at) on conflict do nothing"""


class Repeat:
    """One command that carries a key: what identifies it, and the digest of what it says."""

    __slots__ = ("digest", "key")

    def __init__(self, key: dict[str, object], digest: bytes) -> None:
        self.key = key
        self.digest = digest


class Answers:
    """The kept answers of one contract."""

    __slots__ = ("_contract", "_message", "_result", "_store")

    def __init__(self, contract: Contract, store: Store, message: Codec, result: Codec) -> None:
        self._contract = contract
        self._store = store
        self._message = message
        self._result = result

    def repeat(self, message: Message, ctx: NodeCtx) -> Repeat | None:
        """Return what identifies the command, None when it carries no key.

        A key that came with a request is for the command that the request asked for, not for those
        further in.
        """
        field = self._contract.idempotent
        if field is not None:
            key: str | None = str(getattr(message, field))
        else:
            key = ctx.context.idempotency_key if ctx.depth == 0 else None
        if not key:
            return None
        identity = ctx.identity
        caller = f"{identity.tenant or ''}/{identity.subject or ''}"
        return Repeat(
            {"contract": self._contract.wire_name, "caller": caller, "key": key},
            hashlib.sha256(self._message.to_json(message)).digest(),
        )

    async def find(self, repeat: Repeat) -> tuple[Any] | None:
        """Return the kept answer in a tuple, None when there is none. Raises IdempotencyConflict."""
        snapshot = self._store.read()
        try:
            return self._answer(repeat, await snapshot.fetch(_FIND, repeat.key))
        finally:
            snapshot.close()

    async def find_newest(self, repeat: Repeat, deadline: float) -> Any:
        """Return the answer of the command that ran beside this one, once it is as durable as an answer is.

        Its unit may still wait for the shared commit, so this looks from a unit behind it and commits too.
        """
        unit = await self._store.begin(deadline=deadline)
        try:
            kept = self._answer(repeat, await unit.fetch(_FIND, repeat.key))
        except BaseException:
            await unit.rollback()
            raise
        await unit.commit()
        if kept is None:
            raise OutcomeUnknown(f"{self._contract.wire_name}: the same command, run beside this one, was undone")
        return kept[0]

    def _answer(self, repeat: Repeat, rows: Sequence[Row]) -> tuple[Any] | None:
        if not rows:
            return None
        digest, answer = rows[0]
        if digest != repeat.digest:
            raise IdempotencyConflict(
                f"{self._contract.wire_name}: key {repeat.key['key']!r} was used before with a different body; "
                "use a new key for a new request"
            )
        return (self._result.from_json(answer),)

    async def keep(self, unit: Unit, repeat: Repeat, answer: Any, at: float) -> bool:
        """Record the answer in the unit; False when somebody else's answer is there already."""
        row = {**repeat.key, "digest": repeat.digest, "answer": self._result.to_json(answer), "at": at}
        return await unit.execute(_KEEP, row) == 1
