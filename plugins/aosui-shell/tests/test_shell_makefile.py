"""Makefiles as they are written."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from aosui_shell.makefile import find_targets, parse_targets


def test_lists_phony_described_and_plain_targets_in_order() -> None:
    assert parse_targets(
        """
.PHONY: test docs/html \\
        lint
# a comment: with a colon
all: test lint
test: build  ## Run the tests
\tpytest -q
lint:: ; ruff check .
docs/html: docs/index.rst
\tsphinx docs
dist/site.tar.gz: build ## Pack the site
build/app.o: app.c
app: main.o | build
one two: three
first second &: third
"""
    ) == {
        "all": "",
        "test": "Run the tests",
        "lint": "",
        "docs/html": "",
        "dist/site.tar.gz": "Pack the site",
        "app": "",
        "one": "",
        "two": "",
        "first": "",
        "second": "",
    }


def test_leaves_out_all_that_is_no_target() -> None:
    assert (
        parse_targets(
            """
CC := gcc
FLAGS ::= -O2
IMMEDIATE :::= x
URL = http://example.org:80
URL ?= http://example.org:80
URL += http://example.org:80
DATE != date +%H:%M
$(OBJECTS): %.o: %.c
$(BIN) : deps
%.o: %.c
\tcc -c $<
.c.o:
.DEFAULT: x
.SUFFIXES:
.PHONY: never-defined
-include config.mk
include a:b
export PATH := $(PATH):bin
override X = a:b
ifeq ($(A),b:c)
else ifdef D:E
endif
vpath %.c src:lib
define RECIPE
inside: define
\tx
endef
export define OTHER
inside2: x
endef
test: FLAGS = -g
test: export A := b:c
test: private B ?= c
no colon here
-dash: x
"""
        )
        == {}
    )


def test_recipes_are_not_rules() -> None:
    assert parse_targets(
        "go:\n\techo a: b\n\tdefine x\n\techo one \\\ntwo: three\n"
        "next: ; echo x: y\r\nlast:\r\n\techo"
    ) == {"go": "", "next": "", "last": ""}


def test_the_first_description_counts_and_rules_add_up() -> None:
    assert parse_targets("a: b\na: c ## First\na: d ## Second\nb: # plain\n") == {
        "a": "First",
        "b": "",
    }


def test_a_comment_in_an_assignment_describes_nothing() -> None:
    assert parse_targets("A = b ## c: d\nB := c: d ## e\n") == {}


@pytest.mark.parametrize(
    "text", [" " * 3_000_000, "a " * 1_500_000 + ":", "a:" * 1_500_000, "\\\n" * 1_500_000,
             "=" * 3_000_000, "x" * 3_000_000 + ": y", "t: a\n" * 600_000, "\0" * 3_000_000],
    ids=["spaces", "names", "colons", "continued", "equals", "long", "lines", "nul"],
)  # fmt: skip
def test_megabytes_take_seconds_at_most(text: str) -> None:
    started = time.monotonic()
    parse_targets(text)
    assert time.monotonic() - started < 4


def test_takes_the_file_that_make_takes(root: Path) -> None:
    (root / "Makefile").write_text("third:\n")
    assert list(find_targets(root).tasks) == ["make:third"]
    (root / "makefile").write_text("second:\n")
    assert list(find_targets(root).tasks) == ["make:second"]
    (root / "GNUmakefile").write_text("first: ## One\n")
    found = find_targets(root)
    assert list(found.tasks) == ["make:first"]
    assert found.tasks["make:first"].argv == ("make", "--", "first")
    assert found.tasks["make:first"].workflow.description == "One"


def test_what_is_no_file_is_no_makefile(root: Path) -> None:
    (root / "GNUmakefile").mkdir()
    os.mkfifo(root / "makefile")
    assert not find_targets(root).tasks
    os.symlink("gone", root / "Makefile")
    assert not find_targets(root).problems
    (root / "gone").write_text("linked:\n")
    assert list(find_targets(root).tasks) == ["make:linked"]


def test_what_cannot_be_read_is_a_problem(root: Path) -> None:
    os.symlink("Makefile", root / "Makefile")
    assert find_targets(root).problems == ["Makefile: Too many levels of symbolic links"]
    (root / "Makefile").unlink()
    (root / "Makefile").write_bytes(b"\xff\xfe: x\na:\n")
    assert list(find_targets(root).tasks) == ["make:a"]
    (root / "Makefile").write_bytes(b"a:\n" * 2_000_000)
    assert find_targets(root).problems == ["Makefile: is larger than 4 MiB"]


def test_thousands_of_targets_are_cut_and_said_so(root: Path) -> None:
    (root / "Makefile").write_text("".join(f"t{n}:\n" for n in range(2000)))
    found = find_targets(root)
    assert len(found.tasks) == 500
    assert found.problems == ["Makefile: has more than 500 tasks, the rest is not listed"]
