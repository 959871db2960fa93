"""An application that has a field and a route of every kind, for comparing its OpenAPI document with what it does."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Literal
from uuid import UUID

from headwater import (
    Api,
    App,
    Blob,
    Command,
    Failure,
    Limit,
    Meta,
    Module,
    Private,
    Query,
    Shared,
    Value,
    authenticated,
    contract,
    public,
    role,
    scope,
)
from headwater.model.secret import Secret


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Cat(Value, tag="cat"):
    lives: Annotated[int, Meta(ge=0, le=9)]


class Dog(Value, tag="dog"):
    name: str


class Inner(Value):
    number: int
    label: Annotated[str, Meta(min_length=1, max_length=5)] | None = None


class Whole(Value):
    """Everything that was sent."""

    pet: Cat | Dog
    inner: Inner
    many: tuple[Inner, ...]
    table: dict[str, int]
    size: Size
    choice: Literal["a", "b", 1] | None
    ratio: float
    code: str
    flag: bool
    at: datetime | None
    day: date | None
    price: Decimal
    who: UUID | None
    raw: bytes
    tags: frozenset[str]
    pair: tuple[int, str]


class Refused(Failure, status=409, name="refused-pet"):
    """Pets of that name are refused."""

    pet: Dog


class Odd(Failure, status=404):
    """The number is odd."""


@contract("kinds.put", v=1, fails=(Refused,))
class PutWhole(Command[Whole]):
    """Send everything, and have it back."""

    shelf: Annotated[str, Meta(max_length=20)]
    pet: Cat | Dog
    inner: Inner
    many: Annotated[tuple[Inner, ...], Meta(max_length=3)] = ()
    table: dict[str, int] = {}
    size: Size = Size.SMALL
    choice: Literal["a", "b", 1] | None = None
    ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    code: Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2, examples=["AB"])] = "XY"
    flag: bool = False
    at: datetime | None = None
    day: date | None = None
    price: Decimal = Decimal("1.5")
    who: UUID | None = None
    raw: bytes = b""
    tags: frozenset[str] = frozenset()
    pair: tuple[int, str] = (1, "a")


@contract("kinds.find", v=1)
class Find(Query[Inner | None]):
    """Look for something by all that can stand in a query string."""

    shelf: int
    sizes: tuple[Size, ...]
    day: date | None = None
    who: UUID | None = None
    flag: bool = False
    deep: Annotated[int, Meta(ge=1, multiple_of=3)] = 3
    ratio: Annotated[float, Meta(ge=0, le=1)] = 0.5
    choice: Literal["a", "b"] | None = None


@contract("kinds.kept", v=1)
class Kept(Query[Inner]):
    """Something that may be kept."""

    number: Annotated[int, Meta(ge=0)] = 3


@contract("kinds.odd", v=1, fails=(Odd,))
class IsEven(Command[bool]):
    """Tell whether a number is even; refuse those that are not."""

    number: int


@contract("kinds.drop", v=1)
class Drop(Command[None]):
    """Drop it."""

    shelf: UUID


@contract("kinds.login", v=1)
class LogIn(Command[Inner | None]):
    """Say a secret."""

    secret: Secret[str]


@contract("kinds.nothing", v=1)
class Nothing(Query[tuple[int, ...]]):
    """Take nothing."""


@contract("kinds.store", v=1)
class Store(Command[str]):
    """Store a file."""

    name: Annotated[str, Meta(max_length=20)]
    content: Blob


kinds = Module("kinds")


@kinds.handle(PutWhole)
async def put(cmd: PutWhole) -> Whole:
    if isinstance(cmd.pet, Dog) and cmd.pet.name == "":
        raise Refused(pet=cmd.pet)
    sent = {name: getattr(cmd, name) for name in Whole.__struct_fields__}
    return Whole(**sent)


@kinds.handle(Find)
async def find(query: Find) -> Inner | None:
    return Inner(number=len(query.sizes)) if query.flag else None


@kinds.handle(Kept)
async def kept(query: Kept) -> Inner:
    return Inner(number=query.number)


@kinds.handle(IsEven)
async def is_even(cmd: IsEven) -> bool:
    if cmd.number % 2:
        raise Odd
    return True


@kinds.handle(Drop)
async def drop(cmd: Drop) -> None:
    return None


@kinds.handle(LogIn)
async def log_in(cmd: LogIn) -> Inner | None:
    return Inner(number=1) if len(cmd.secret.reveal()) % 2 else None


@kinds.handle(Nothing)
async def nothing(query: Nothing) -> tuple[int, ...]:
    return (1, 2, 3)


@kinds.handle(Store)
async def store(cmd: Store) -> str:
    return cmd.content.sha256


v1 = Api("v1", auth=public, deprecated=date(2026, 1, 1), sunset=date(2999, 1, 1), successor="v2")
v1.put("/shelves/{shelf}", PutWhole, status=201, auth=role("staff", "boss") & scope("write"))
v1.get("/boxes/{shelf}", Find, limit=Limit("1000000/s", per="address"))
v1.delete("/crates/{shelf}", Drop, auth=authenticated)
v1.get("/kept", Kept, http_cache=Private("5s"))
v1.get("/shared/{number}", Kept, http_cache=Shared("5s"))
v1.post("/even", IsEven, summary="Is it even?")
v1.patch("/even", IsEven)
v1.post("/session", LogIn)
v1.get("/nothing", Nothing)
v1.put("/files/{name}", Store, upload="content", status=201)

app = App("kinds", modules=[kinds], apis=[v1])
