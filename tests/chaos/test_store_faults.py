"""The embedded store, broken on purpose: full disks, flipped bytes, killed processes, lost power, failing syncs.

What must hold each time: every acknowledged row is there afterwards, no row is ever wrong, and a row and
the event of the same unit are there together or not at all.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from headwater.adapters.sqlite import SqliteStore
from headwater.adapters.system import SystemClock, ThreadExecutor
from headwater.errors import CommitUnknown, StoreCorrupt, StoreFull
from headwater.ports import CrashPoints, Record
from headwater.testing.store_kit import INSERT, migrations, rows, soon

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
Durability = Literal["disk", "process"]
ROWS = "select id, word from item order by id"
SHUTDOWN = 0x8004587D
"""The ioctl that stops a file system on the spot, as when the power goes."""
STOP_AT_ONCE = 2


# --- a store and its writer --------------------------------------------------------------------


def make(folder: Path, durability: Durability = "disk") -> SqliteStore:
    return SqliteStore(
        folder / "kit.db", app="kit", module="kit", migrations=migrations(folder), framework_schema=(),
        clock=SystemClock(), executor=ThreadExecutor(threads=2), points=CrashPoints(), durability=durability,
    )


@asynccontextmanager
async def opened(folder: Path, durability: Durability = "disk") -> AsyncIterator[SqliteStore]:
    store = make(folder, durability)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def word(number: int) -> str:
    """Return the only right content of a row, some hundred bytes."""
    return f"w{number}-" + str(number * 7919 % 10007) * 40


async def write(store: SqliteStore, number: int) -> None:
    """Write a row and its event."""
    unit = await store.begin(deadline=soon())
    try:
        await unit.execute(INSERT, {"id": number, "word": word(number)}, user=True)
        await unit.append([Record(id=f"id-{number}", name="kit.done", version=1, key="", payload=b"{}", at=0.0)])
    except BaseException:
        await unit.rollback()
        raise
    await unit.commit()


async def stored(store: SqliteStore) -> list[int]:
    """Return the numbers of the rows, having checked that each is right and has its event."""
    found = await rows(store, ROWS)
    assert all(text == word(number) for number, text in found)
    events, _ = await store.log.read(after=0, names=(), limit=10_000)
    assert sorted(int(event.id[3:]) for event in events) == [number for number, _ in found]
    return [number for number, _ in found]


async def _write_on(folder: Path, first: int, durability: Durability) -> None:
    """Write for ever with 16 hands, telling every acknowledged number."""
    store = make(folder, durability)
    await store.open()
    numbers = iter(range(first, first + 1_000_000))

    async def hand() -> None:
        for number in numbers:
            await write(store, number)
            os.write(1, f"{number}\n".encode())

    await asyncio.gather(*(hand() for _ in range(16)))


async def _open_and_write(folder: Path, number: int) -> None:
    async with opened(folder) as store:
        await write(store, number)
        os.write(1, f"{number}\n".encode())


async def _meet_failing_sync(folder: Path, control: Path) -> None:
    async with opened(folder) as store:
        await write(store, 1)
        for number in (2, 4):
            control.write_text("fail")
            together = [write(store, number), write(store, number * 100)]
            found = await asyncio.gather(*together, return_exceptions=True)
            assert [type(f) for f in found] == [CommitUnknown] * 2, found
            assert control.read_text() == "fine"
            await write(store, number + 1)
            assert {1, number + 1} <= set(await stored(store))
    async with opened(folder) as store:
        assert {1, 3, 5} <= set(await stored(store)) <= {1, 2, 3, 4, 5, 200, 400}
    os.write(1, b"fine\n")


def start(*words: object, **environment: str) -> subprocess.Popen[bytes]:
    """Run this file as a program."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.test_store_faults", *map(str, words)], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment},
    )


def read_numbers(child: subprocess.Popen[bytes], count: int) -> list[int]:
    """Return the first acknowledged numbers."""
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(count)]
    assert all(lines), child.stderr.read().decode() if child.stderr else ""
    return [int(line) for line in lines]


def told_so_far(child: subprocess.Popen[bytes]) -> list[int]:
    """Return what was acknowledged by now, without waiting."""
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    out = child.stdout.read() or b""
    os.set_blocking(child.stdout.fileno(), True)
    return [int(line) for line in out.splitlines(keepends=True) if line.endswith(b"\n")]


def end(child: subprocess.Popen[bytes]) -> list[int]:
    """Kill; return what it had acknowledged since the last look."""
    child.send_signal(signal.SIGKILL)
    out, _ = child.communicate(timeout=30)
    return [int(line) for line in out.splitlines(keepends=True) if line.endswith(b"\n")]


# --- processes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["disk", "process"])
async def test_killed_while_writing(tmp_path: Path, durability: Durability) -> None:
    """Ten times SIGKILL at any moment: everything acknowledged is there, whole."""
    chance = random.Random(9)
    acknowledged: list[int] = []
    for cycle in range(10):
        child = start("write", tmp_path, cycle * 1_000_000, durability)
        acknowledged += read_numbers(child, chance.randrange(1, 300))
        time.sleep(chance.random() / 50)
        acknowledged += end(child)
        async with opened(tmp_path, durability) as store:
            assert set(acknowledged) <= set(await stored_many(store))
            if cycle % 2:
                store.abandon()  # a crash after a recovery


async def stored_many(store: SqliteStore) -> list[int]:
    """Return the numbers of more rows than one fetch may answer with."""
    snapshot = store.read()
    found: list[int] = []
    try:
        while page := await snapshot.fetch(
            "select id, word, (select count(*) from hw_log l where l.id = 'id-' || item.id) from item "
            "where id > :last order by id limit 5000", {"last": found[-1] if found else -1},
        ):
            assert all(text == word(number) and events == 1 for number, text, events in page)
            found += [number for number, _, _ in page]
        ((events,),) = await snapshot.fetch("select count(*) from hw_log", {})
        assert events == len(found)
    finally:
        snapshot.close()
    return found


async def test_openers_at_once(tmp_path: Path) -> None:
    """Four processes open a database that is not there yet: one makes it and migrates, all can write."""
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        migrations(folder)
        children = [start("once", folder, number) for number in range(4)]
        for child in children:
            _, said = child.communicate(timeout=60)
            assert child.returncode == 0, said.decode()
        async with opened(folder) as store:
            assert await stored(store) == [0, 1, 2, 3]
            assert await rows(store, "select count from counter") == [(0,)]


# --- bytes -------------------------------------------------------------------------------------


async def judge(folder: Path) -> list[int] | None:
    """Return the rows that are served from a damaged folder, None when damage was reported instead."""
    store = make(folder)
    try:
        await store.open()
        return await stored(store)
    except StoreCorrupt:
        return None
    finally:
        await store.close()


def flip(path: Path, offset: int, bits: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ bits]))


@pytest.mark.parametrize("checked", ["at start", "when read"])
async def test_a_flipped_byte_in_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checked: str) -> None:
    """Wherever a byte was flipped, it is reported, or was in nobody's data; a wrong row is never served."""
    sound = tmp_path / "sound"
    sound.mkdir()
    async with opened(sound) as store:
        await asyncio.gather(*(write(store, number) for number in range(200)))
    assert not (sound / "kit.db-wal").exists()
    if checked == "when read":
        monkeypatch.setattr("headwater.adapters.sqlite.store.CHECK_BYTES_MOST", 0)
    chance = random.Random(4)
    size = (sound / "kit.db").stat().st_size
    offsets = [*range(0, 100, 4), *(chance.randrange(size) for _ in range(40))]
    reported = 0
    for offset in offsets:
        folder = Path(shutil.copytree(sound, tmp_path / "damaged"))
        flip(folder / "kit.db", offset, 1 << chance.randrange(8))
        found = await judge(folder)
        assert found in (None, list(range(200))), offset
        reported += found is None
        shutil.rmtree(folder)
    assert reported >= len(offsets) * (0.95 if checked == "at start" else 0.5)


async def test_a_flipped_byte_in_the_log(tmp_path: Path) -> None:
    """Damage is reported, or was in the very last commit, which a crash could have torn as well."""
    live = tmp_path / "live"
    live.mkdir()
    async with opened(live) as store:
        for number in range(60):
            await write(store, number)
        sound = Path(shutil.copytree(live, tmp_path / "sound"))
    chance = random.Random(5)
    size = (sound / "kit.db-wal").stat().st_size
    reported = 0
    for offset in [*range(0, 56, 4), *(chance.randrange(size) for _ in range(40))]:
        folder = Path(shutil.copytree(sound, tmp_path / "damaged"))
        flip(folder / "kit.db-wal", offset, 1 << chance.randrange(8))
        found = await judge(folder)
        assert found in (None, list(range(60)), list(range(59))), offset
        reported += found is None
        shutil.rmtree(folder)
    assert reported > 40


# --- disks -------------------------------------------------------------------------------------


def needs_root(*tools: str) -> None:
    """Skip, and say why, where a disk cannot be broken."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and the programs {', '.join(tools)} (missing: {', '.join(missing) or 'root'})")


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[Path]:
    """Mount something on a folder; skip where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not possible here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)


async def test_a_full_disk(tmp_path: Path) -> None:
    """Writes are refused with StoreFull, reads go on, and writing resumes when there is room: nothing is lost."""
    needs_root("mount", "umount")
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as folder:
        async with opened(folder) as store:
            acknowledged, full, number = [], 0, 0
            while full < 20:
                number += 1
                try:
                    await write(store, number)
                    acknowledged.append(number)
                except StoreFull:
                    full += 1
            assert len(acknowledged) > 50
            assert await stored(store) == acknowledged
            together = await asyncio.gather(*(write(store, 10_000 + n) for n in range(300)), return_exceptions=True)
            assert {type(outcome) for outcome in together} == {StoreFull}
            subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
            for number in range(20_000, 20_100):
                await write(store, number)
                acknowledged.append(number)
            assert await stored(store) == acknowledged
        async with opened(folder) as store:
            assert await stored(store) == acknowledged


async def test_starting_on_a_full_disk(tmp_path: Path) -> None:
    """A database that is there can be opened and read though nothing can be written."""
    needs_root("mount", "umount")
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as folder:
        async with opened(folder) as store:
            for number in range(50):
                await write(store, number)
            copy = Path(shutil.copytree(folder, tmp_path / "copy"))  # as a crash would leave it
        for path in copy.iterdir():
            if path.is_file():
                shutil.copy(path, folder)
        filler = folder / "filler"
        # the shared index of the log needs 32 KiB; what is left beyond that is less than a page
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(1024))
        os.truncate(filler, filler.stat().st_size - 36 * 1024)
        async with opened(folder) as store:
            assert await stored(store) == list(range(50))


async def test_lost_power(tmp_path: Path) -> None:
    """The file system stops between two instructions, again and again: what was acknowledged as `disk` is there."""
    needs_root("mount", "umount", "mkfs.ext4")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    chance = random.Random(11)
    acknowledged: list[int] = []
    for cycle in range(6):
        with mounted(tmp_path / "disk", "-o", "loop", str(image)) as folder:
            migrations(folder)
            subprocess.run(["sync", "-f", str(folder)], check=True)
            child = start("write", folder, cycle * 1_000_000, "disk")
            acknowledged += read_numbers(child, chance.randrange(20, 200))
            time.sleep(chance.random() / 50)
            root = os.open(folder, os.O_RDONLY)
            try:
                # A sync that is under way when this ioctl comes may answer with success, in bare C too;
                # so what counts as acknowledged ends here.
                acknowledged += told_so_far(child)
                fcntl.ioctl(root, SHUTDOWN, struct.pack("I", STOP_AT_ONCE))
            finally:
                os.close(root)
            time.sleep(0.05)
            end(child)
        with mounted(tmp_path / "disk", "-o", "loop", str(image)) as folder:
            async with opened(folder) as store:
                assert set(acknowledged) <= set(await stored_many(store))
    assert len(acknowledged) > 100


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file named by SYNC_CONTROL says "fail": the next sync of a file whose name contains "-wal" fails, once. */
static int strikes(int fd) {
    char link[64], path[4096], said[8] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, "-wal")) return 0;
    const char *control = getenv("SYNC_CONTROL");
    FILE *file = control ? fopen(control, "r") : NULL;
    if (!file) return 0;
    size_t got = fread(said, 1, 4, file);
    fclose(file);
    if (got != 4 || strcmp(said, "fail")) return 0;
    file = fopen(control, "w");
    fputs("fine", file);
    fclose(file);
    return 1;
}

#define SHIMMED(name)                                        \
    int name(int fd) {                                       \
        if (strikes(fd)) { errno = EIO; return -1; }         \
        return ((int (*)(int))dlsym(RTLD_NEXT, #name))(fd);  \
    }
SHIMMED(fsync)
SHIMMED(fdatasync)
"""


def test_a_sync_that_fails_once(tmp_path: Path) -> None:
    """The units of that commit get CommitUnknown, never an acknowledgement; then the store works again."""
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        pytest.skip("needs gcc and Linux, to put a failing fsync in front of the system's")
    source, shim, control = tmp_path / "shim.c", tmp_path / "shim.so", tmp_path / "control"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    (tmp_path / "data").mkdir()
    child = start("sync", tmp_path / "data", control, LD_PRELOAD=str(shim), SYNC_CONTROL=str(control))
    out, said = child.communicate(timeout=60)
    assert out == b"fine\n", said.decode()


# --- as a program ------------------------------------------------------------------------------


def _main(verb: str, folder: str, *words: str) -> None:
    work: Any
    if verb == "write":
        work = _write_on(Path(folder), int(words[0]), "process" if words[1] == "process" else "disk")
    elif verb == "once":
        work = _open_and_write(Path(folder), int(words[0]))
    else:
        work = _meet_failing_sync(Path(folder), Path(words[0]))
    asyncio.run(work)


if __name__ == "__main__":
    _main(*sys.argv[1:])
