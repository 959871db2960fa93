"""The running process, as Linux's /proc and the interpreter tell of it; elsewhere, as far as they do."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import re
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from headwater.ports.process import ProcessReading, Stack

__all__ = ["StackSampler", "SystemProcess"]

DEPTH_MOST = 256
_SELF = Path("/proc/self")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class SystemProcess:
    """This process. `folder`: where the data lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> ProcessReading:
        """Look."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        collected = gc.get_stats()
        return ProcessReading(
            pid=os.getpid(), python=platform.python_version(), cpu=used.ru_utime + used.ru_stime, rss=_rss(),
            pss=_pss(), fds=_fds(), threads=threading.active_count(), disk_free=_free(self._folder),
            gc_collections=tuple(g["collections"] for g in collected),
            gc_collected=tuple(g["collected"] for g in collected),
            gc_uncollectable=tuple(g["uncollectable"] for g in collected),
        )


def _rss() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((_SELF / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


def _pss() -> int | None:
    with contextlib.suppress(OSError):
        found = _PSS.search((_SELF / "smaps_rollup").read_bytes())
        return None if found is None else int(found[1]) * 1024
    return None


def _fds() -> int | None:
    with contextlib.suppress(OSError):
        return len(os.listdir(_SELF / "fd")) - 1  # noqa: PTH208 - one of them is this listing itself
    return None


def _free(folder: Path) -> int | None:
    with contextlib.suppress(OSError):
        told = os.statvfs(folder)
        return told.f_bavail * told.f_frsize
    return None


class StackSampler:
    """Looks at every thread's stack but its own. For one run."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def run(self, seconds: float, hz: float) -> Mapping[Stack, int]:
        """Look again and again; return how often each stack was seen."""
        found: Counter[Stack] = Counter()
        apart = 1.0 / hz
        due = time.monotonic()
        end = due + seconds
        while due < end and not self._stopped.is_set():
            self._look(found)
            due = max(due + apart, time.monotonic())  # when looking takes longer than that, looks are left out
            self._stopped.wait(max(0.0, due - time.monotonic()))
        return found

    def stop(self) -> None:
        """End the run."""
        self._stopped.set()

    def _look(self, found: Counter[Stack]) -> None:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        mine = threading.get_ident()
        for ident, frame in sys._current_frames().items():
            if ident != mine:
                found[names.get(ident, "thread"), *_frames(frame)] += 1


def _frames(frame: FrameType | None) -> list[str]:
    frames: list[str] = []
    while frame is not None and len(frames) < DEPTH_MOST:
        code = frame.f_code
        frames.append(f"{code.co_qualname} ({_shown(code.co_filename)}:{frame.f_lineno or code.co_firstlineno})")
        frame = frame.f_back
    frames.reverse()
    return frames


def _shown(filename: str) -> str:
    """Return the part of a path that tells: below site-packages or the standard library, or the last three names."""
    for mark in ("/site-packages/", f"/python{sys.version_info[0]}.{sys.version_info[1]}/"):
        if mark in filename:
            return filename.rpartition(mark)[2]
    return "/".join(filename.split("/")[-3:])
