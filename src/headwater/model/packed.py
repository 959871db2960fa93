"""Looking at MessagePack from strangers before it is decoded: what a decoder would hide is refused.

The decoder keeps the last of doubled keys and knows extension types; neither has a place in a message. This
walks over the structure once, without recursion and without building anything but the keys of open maps.
"""

from __future__ import annotations

__all__ = ["PackedFlaw", "check_packed"]

_FIXED = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}
_STRINGS = (0xD9, 0xDA, 0xDB)


class PackedFlaw(ValueError):
    """What is wrong with the bytes, in words for their sender."""


class _Open:
    """A map or an array whose items are being read."""

    __slots__ = ("keys", "left")

    def __init__(self, left: int, keys: set[bytes] | None) -> None:
        self.left = left
        self.keys = keys


def check_packed(data: bytes, *, depth: int, items: int) -> None:
    """Refuse what is not one value with text keys, each once, nested at most `depth` deep. Raises PackedFlaw."""
    at, size = 0, len(data)
    stack: list[_Open] = []
    while True:
        if at >= size:
            raise PackedFlaw("the body ends in the middle of a value")
        mark = data[at]
        at += 1
        top = stack[-1] if stack else None
        key = top is not None and top.keys is not None and top.left % 2 == 0
        opened: _Open | None = None
        if mark < 0x80 or mark >= 0xE0 or mark in _FIXED:
            _refuse_key(key)
            at += _FIXED.get(mark, 0)
        elif 0xA0 <= mark < 0xC0 or mark in _SIZED:
            at, text = _text(data, at, mark)
            if key:
                if mark not in _STRINGS and mark >= 0xC0:
                    _refuse_key(key)
                assert top is not None
                assert top.keys is not None
                if text in top.keys:
                    raise PackedFlaw(f"the key {text.decode(errors='replace')!r} stands twice in its object")
                top.keys.add(text)
        else:
            _refuse_key(key)
            at, opened = _open(data, at, mark, items)
        if at > size:
            raise PackedFlaw("the body ends in the middle of a value")
        if top is not None:
            top.left -= 1
        if opened is not None:
            stack.append(opened)
            if len(stack) > depth:
                raise PackedFlaw(f"the body is nested deeper than {depth}")
        while stack and stack[-1].left == 0:
            stack.pop()
        if not stack:
            break
    if at != size:
        raise PackedFlaw("there is more after the value")


def _text(data: bytes, at: int, mark: int) -> tuple[int, bytes]:
    if mark < 0xC0:
        length = mark & 0x1F
    else:
        width = _SIZED[mark]
        length = int.from_bytes(data[at : at + width], "big")
        at += width
    return at + length, data[at : at + length]


def _open(data: bytes, at: int, mark: int, items: int) -> tuple[int, _Open]:
    if 0x80 <= mark < 0x90:
        count, is_map = mark & 0x0F, True
    elif 0x90 <= mark < 0xA0:
        count, is_map = mark & 0x0F, False
    elif mark in _ARRAYS or mark in _MAPS:
        is_map = mark in _MAPS
        width = _MAPS[mark] if is_map else _ARRAYS[mark]
        count = int.from_bytes(data[at : at + width], "big")
        at += width
    else:
        raise PackedFlaw("the body has an extension type or a reserved byte")
    if count > items:
        raise PackedFlaw(f"more than {items} items")
    return at, _Open(2 * count, set()) if is_map else _Open(count, None)


def _refuse_key(key: bool) -> None:
    if key:
        raise PackedFlaw("the keys of an object are text")
