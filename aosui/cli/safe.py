"""Text from elsewhere, made safe for a terminal: colours stay, everything else that acts goes."""

from __future__ import annotations

import re

__all__ = ["SafeText", "plain"]

COLOUR = r"\x1b\[[0-9;:]*m"
SEQUENCE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-Z\\`-~])"
CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
ACTS = re.compile(f"({COLOUR})|{SEQUENCE}|{CONTROL}")
UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)\Z")
LONGEST = 4096
"""A sequence that has not ended by then is none."""
EIGHT_BIT = {code: "\x1b" + chr(code - 0x40) for code in range(0x80, 0xA0)}


class SafeText:
    """Cleans a stream that comes in pieces: a sequence may be cut anywhere."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what can be shown now: text, newlines, tabs, returns and colours."""
        text = self._held + text.translate(EIGHT_BIT)
        self._held = ""
        unfinished = UNFINISHED.search(text)
        if unfinished is not None and len(unfinished[0]) < LONGEST:
            self._held = unfinished[0]
            text = text[: unfinished.start()]
        return ACTS.sub(lambda match: match[1] or "", text)


def plain(text: str) -> str:
    """Return text on one line without anything that acts, colours included."""
    return " ".join(ACTS.sub("", text.translate(EIGHT_BIT)).split())
