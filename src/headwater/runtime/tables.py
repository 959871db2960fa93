"""The framework's own tables in every module's database, in SQL that every engine understands.

They live beside the module's tables so that one transaction covers an effect and its bookkeeping.
The log itself (`hw_log`) belongs to the store.
"""

from __future__ import annotations

__all__ = ["SCHEMA"]

SCHEMA: tuple[str, ...] = (
    # how far a subscription has dealt with a source's log: everything up to here is handled or parked
    """create table if not exists hw_cursor (
        subscription text not null, source text not null, position integer not null,
        primary key (subscription, source))""",
    # what has taken effect: inserted in the effect's own transaction, unique by construction
    """create table if not exists hw_inbox (
        subscription text not null, id text not null, at real not null, primary key (subscription, id))""",
    "create index if not exists hw_inbox_at on hw_inbox (at)",
    # deliveries that failed and wait for their next attempt, or wait behind one with the same key
    """create table if not exists hw_retry (
        subscription text not null, id text not null, source text not null, position integer not null,
        key text not null, attempts integer not null, due real not null, error text not null,
        record blob not null, primary key (subscription, id))""",
    "create index if not exists hw_retry_key on hw_retry (subscription, source, key, position)",
    # deliveries and durable commands that were given up; people decide what becomes of them
    """create table if not exists hw_dead (
        id text not null primary key, subscription text not null, source text not null,
        position integer not null, key text not null, attempts integer not null, error text not null,
        record blob not null, died_at real not null)""",
    # who may work on a subscription; token grows with every new holder
    """create table if not exists hw_lease (
        name text not null primary key, owner text not null, token integer not null,
        expires real not null, clean integer not null)""",
    # answers of idempotent commands
    """create table if not exists hw_answer (
        contract text not null, caller text not null, key text not null, digest blob not null,
        answer blob not null, at real not null, primary key (contract, caller, key))""",
    "create index if not exists hw_answer_at on hw_answer (at)",
    # durable commands that wait to be run
    """create table if not exists hw_send (
        id text not null primary key, due real not null, attempts integer not null, error text not null,
        record blob not null)""",
    "create index if not exists hw_send_due on hw_send (due)",
    # read models that somebody wants filled again
    """create table if not exists hw_rebuild (
        name text not null primary key, asked_at real not null, error text not null)""",
)
