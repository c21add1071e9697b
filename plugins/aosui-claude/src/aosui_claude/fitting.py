"""Make what Claude says fit: JSON within a limit, and text that is Unicode."""

from __future__ import annotations

from typing import Any, Final

from aosui.protocol import MAX_DATA_BYTES, MAX_SAFE_INTEGER, encode

__all__ = ["fit", "shorten", "valid"]

MAX_DEPTH: Final = 40
LENGTHS: Final = (30_000, 10_000, 3_000, 1_000, 300, 100)
"""How long texts may be, tried in turn; lists and objects get a hundredth of it as items."""


def valid(text: str) -> str:
    """Replace what is no valid Unicode, such as half an emoji."""
    return text.encode("utf-8", "replace").decode()


def shorten(text: str, length: int) -> str:
    """Cut a text, and say how much of it is missing."""
    text = valid(text)
    if len(text) <= length:
        return text
    return f"{text[:length]}… ({len(text) - length} more characters)"


def fit(value: Any, max_bytes: int = MAX_DATA_BYTES) -> Any:
    """
    Make JSON data fit an event: long texts and lists are cut, the longest first, and say so.

    What fits is returned as it is. `value` is JSON as `json.loads` gives it.
    """
    whole = _cut(value, None, 0)
    if len(encode(whole)) <= max_bytes:
        return whole
    for length in LENGTHS:
        cut = _cut(value, length, 0)
        if len(encode(cut)) <= max_bytes:
            return cut
    return shorten(encode(cut).decode(), max_bytes // 8)


def _cut(value: Any, length: int | None, depth: int) -> Any:
    match value:
        case str():
            return valid(value) if length is None else shorten(value, length)
        case bool() | None | float():
            return value
        case int():
            return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
        case list() | dict() if depth >= MAX_DEPTH:
            return "…"
        case list():
            kept = value if length is None else value[: max(1, length // 100)]
            items = [_cut(item, length, depth + 1) for item in kept]
            if len(kept) < len(value):
                items.append(f"… ({len(value) - len(kept)} more)")
            return items
        case dict():
            keys = list(value) if length is None else list(value)[: max(20, length // 100)]
            cut = {
                shorten(str(key), length or 1_000): _cut(value[key], length, depth + 1)
                for key in keys
            }
            if len(keys) < len(value):
                cut["…"] = f"{len(value) - len(keys)} more"
            return cut
    return shorten(repr(value), length or 1_000)
