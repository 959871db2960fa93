"""The usual FastAPI application with a database: SQLAlchemy on aiosqlite, one session and one commit a request."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.contenders.fastapi_app import Hello, Order

engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['BENCH_DATABASE']}")
sessions = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def prepare(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=wal", f"synchronous={os.environ.get('BENCH_SYNC', 'full')}", "busy_timeout=10000"):
        cursor.execute(f"pragma {pragma}")
    cursor.close()


class Base(DeclarativeBase): ...


class ItemRow(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price_cents: Mapped[int]


class OrderRow(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str]
    customer_id: Mapped[str]
    total_cents: Mapped[int]


class OutboxRow(Base):
    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str]
    body: Mapped[bytes]


class Row(BaseModel):
    id: int
    name: str
    price_cents: int


class Stored(BaseModel):
    order_id: str


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]
app = FastAPI()


@app.get("/v1/hello")
async def hello() -> Hello:
    return Hello(message="Hello, World!")


@app.get("/v1/rows/{id}")
async def row(id: int, db: Session) -> Row:  # noqa: A002 - the name in the path
    found = await db.get(ItemRow, id)
    if found is None:
        raise HTTPException(404)
    return Row(id=found.id, name=found.name, price_cents=found.price_cents)


@app.post("/v1/stored")
async def store(order: Order, db: Session) -> Stored:
    total = sum(x.quantity * x.price_cents for x in order.lines)
    db.add(OrderRow(order_id=order.order_id, customer_id=order.customer_id, total_cents=total))
    db.add(OutboxRow(order_id=order.order_id, body=b"placed"))
    await db.commit()
    return Stored(order_id=order.order_id)
