"""What a run writes must not steer the terminal of whoever watches it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aosui.cli.safe import SafeText, plain

HOSTILE = [
    ("\x1b]0;owned\x07title", "title"),
    ("\x1b]0;owned\x1b\\title", "title"),
    ("\x1b]52;c;cm0gLXJmIH4=\x07clipboard", "clipboard"),
    ("\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07", "link"),
    ("\x1b[2J\x1b[Hscreen", "screen"),
    ("\x1b[?1049hbuffer", "buffer"),
    ("\x1bP+q544e\x1b\\device", "device"),
    ("\x1bcreset", "reset"),
    ("\x1b(0charset", "charset"),
    ("\x9b2Jeight", "eight"),
    ("\x9d0;x\x07bits", "bits"),
    ("bell\x07 back\x08 del\x7f nul\0", "bell back del nul"),
    ("\x1b[31mred\x1b[0m \x1b[38;2;1;2;3mx\x1b[m", "\x1b[31mred\x1b[0m \x1b[38;2;1;2;3mx\x1b[m"),
    ("tab\tline\r\nend", "tab\tline\r\nend"),
    ("grüße 日本 🎉", "grüße 日本 🎉"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_only_colours_stay(text: str, shown: str) -> None:
    assert SafeText().feed(text) == shown


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_a_sequence_may_be_cut_anywhere(text: str, shown: str) -> None:
    for cut in range(len(text)):
        safe = SafeText()
        assert safe.feed(text[:cut]) + safe.feed(text[cut:]) == shown


def test_a_sequence_that_never_ends_does_not_hide_the_rest() -> None:
    assert SafeText().feed("\x1b]0;no end\nnext line") == "\nnext line"
    safe = SafeText()
    assert safe.feed("\x1b]" + "x" * 5000) == ""
    assert safe.feed("\nnext") == "\nnext"


@given(st.lists(st.text(alphabet="\x1b[]P\\;m0123\x07\x9b\x9dab\n"), max_size=5))
def test_whatever_comes_only_colours_are_left_of_the_sequences(pieces: list[str]) -> None:
    safe = SafeText()
    shown = "".join(safe.feed(piece) for piece in pieces)
    for rest in shown.split("\x1b[")[1:]:
        assert rest.lstrip("0123456789;:").startswith("m")
    assert shown.count("\x1b") == shown.count("\x1b[")


def test_plain_is_one_line_without_colours() -> None:
    assert plain("\x1b[31mtwo\x1b[0m\n lines\x1b]0;x\x07") == "two lines"
