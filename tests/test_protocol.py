"""The rules of the wire that need no I/O."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aosui.errors import AosuiError, BadJson, BadRequest, NotSerialisable, UnknownType
from aosui.protocol import (
    CLOSE_CODES,
    MAX_SAFE_INTEGER,
    PROJECT_ID,
    CloseCode,
    Ping,
    QuestionAnswer,
    RunCancel,
    RunInput,
    RunRetry,
    RunStart,
    cut,
    decode_command,
    decode_object,
    encode,
    encode_data,
)

from .test_errors import CODES

CLOSES = {
    1000: "ok",
    1001: "goingAway",
    4000: "clientResync",
    4004: "internal",
    4007: "connectionLimit",
    4008: "rateLimited",
    4500: "badRequest",
    4501: "unauthorized",
    4502: "forbidden",
    4503: "projectNotFound",
    4504: "projectClosed",
    4505: "unsupportedVersion",
    4506: "messageTooBig",
    4508: "replaced",
    4510: "dormant",
}
BASE = {"projectId": "p", "id": "1"}


class TestCloseCodes:
    def test_are_those_of_the_protocol_with_their_names_as_reasons(self) -> None:
        assert {code.value: code.reason for code in CloseCode} == CLOSES

    def test_a_refusal_closes_with_the_code_of_its_error(self) -> None:
        for error, code in CLOSE_CODES.items():
            assert error in " ".join(CODES.values()).split()
            if code.reason != error:
                assert (error, code) in [
                    ("logUnavailable", CloseCode.INTERNAL),
                    ("shuttingDown", CloseCode.GOING_AWAY),
                ]

    def test_a_reason_fits_a_close_frame(self) -> None:
        assert all(len(code.reason) <= 123 for code in CloseCode)


class TestDecodingAnObject:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "nonsense",
            "{",
            "{}{}",
            '{"a": NaN}',
            '{"a": Infinity}',
            '{"a": 1e999}',
            '{"a": "\\ud800"}',
            '{"a": "\\udc00x"}',
            '{"a": "\ud800"}',
            b'{"a": "\xff"}',
            b"\xff\xfe",
            '{"a": ' + "[" * 2000 + "]" * 2000 + "}",
            '{"a": ' + "9" * 5000 + "}",
            "'a'",
            '{"a": 01}',
            '{"a": "\n"}',
        ],
    )
    def test_what_is_no_json_is_bad_json(self, text: str | bytes) -> None:
        with pytest.raises(BadJson):
            decode_object(text)

    @pytest.mark.parametrize("text", ["[]", "1", "null", '"{}"', "true"])
    def test_what_is_no_object_is_a_bad_request(self, text: str) -> None:
        with pytest.raises(BadRequest):
            decode_object(text)

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ('{"a": 9007199254740992}', "$.a"),
            ('{"a": -9007199254740992}', "$.a"),
            ('{"a": [0, {"b": 9007199254740993}]}', "$.a[1].b"),
        ],
    )
    def test_an_integer_that_is_not_exact_everywhere_is_a_bad_request(
        self, text: str, path: str
    ) -> None:
        with pytest.raises(BadRequest) as caught:
            decode_object(text)
        assert f"`{path}`" in caught.value.message

    def test_the_largest_exact_integers_are_taken(self) -> None:
        text = f'{{"a": {MAX_SAFE_INTEGER}, "b": {-MAX_SAFE_INTEGER}}}'
        assert decode_object(text) == {"a": MAX_SAFE_INTEGER, "b": -MAX_SAFE_INTEGER}

    def test_of_duplicate_keys_the_last_wins(self) -> None:
        assert decode_object('{"a": 1, "a": 2}') == {"a": 2}

    @pytest.mark.parametrize("depth", range(880, 1000))
    def test_nesting_near_the_limit_is_taken_or_bad_json(self, depth: int) -> None:
        text = '{"a":' + "[" * depth + "]" * depth + "}"
        with suppress(BadJson):
            assert list(decode_object(text)) == ["a"]


class TestDecodingACommand:
    @pytest.mark.parametrize(
        ("frame", "command"),
        [
            (
                {"type": "run.start", "workflow": "a:b", "params": {"n": 1}},
                RunStart("p", "1", "a:b", {"n": 1}),
            ),
            ({"type": "run.start", "workflow": "a:b"}, RunStart("p", "1", "a:b", {})),
            ({"type": "run.cancel", "runId": "r"}, RunCancel("p", "1", "r")),
            ({"type": "run.retry", "runId": "r"}, RunRetry("p", "1", "r", None)),
            (
                {"type": "run.retry", "runId": "r", "params": {"n": 1}},
                RunRetry("p", "1", "r", {"n": 1}),
            ),
            ({"type": "run.input", "runId": "r", "text": ""}, RunInput("p", "1", "r", "")),
            (
                {"type": "question.answer", "questionId": "q", "answers": {"a": "x", "b": ["y"]}},
                QuestionAnswer("p", "1", "q", {"a": "x", "b": ["y"]}),
            ),
        ],
    )
    def test_takes_every_request(self, frame: dict[str, Any], command: object) -> None:
        assert decode_command({**BASE, **frame}) == command

    def test_a_ping_needs_no_id(self) -> None:
        assert decode_command({"type": "ping", "projectId": "p", "nonce": 7}) == Ping("p", 7)
        assert decode_command({"type": "ping", "projectId": "p"}) == Ping("p", None)

    def test_ignores_fields_that_it_does_not_know(self) -> None:
        frame = {**BASE, "type": "run.cancel", "runId": "r", "later": True}
        assert decode_command(frame) == RunCancel("p", "1", "r")

    @pytest.mark.parametrize(
        ("frame", "field"),
        [
            ({}, "type"),
            ({"type": 1}, "$.type"),
            ({"type": "ping"}, "$.projectId"),
            ({"type": "ping", "projectId": 1}, "$.projectId"),
            ({"type": "ping", "projectId": "p", "nonce": []}, "$.nonce"),
            ({"type": "run.cancel", "projectId": "p", "runId": "r"}, "`id`"),
            ({**BASE, "type": "run.cancel"}, "`runId`"),
            ({**BASE, "type": "run.cancel", "runId": 1}, "$.runId"),
            ({**BASE, "type": "run.cancel", "runId": "r", "id": 1}, "$.id"),
            ({**BASE, "type": "run.cancel", "runId": "r", "id": ""}, "$.id"),
            ({**BASE, "type": "run.cancel", "runId": "r", "id": "x" * 129}, "$.id"),
            ({**BASE, "type": "run.start", "workflow": "a:b", "params": []}, "$.params"),
            ({**BASE, "type": "run.input", "runId": "r"}, "`text`"),
            (
                {**BASE, "type": "question.answer", "questionId": "q", "answers": {"a": 1}},
                "$.answers[...]",
            ),
        ],
    )
    def test_says_which_field_is_wrong(self, frame: dict[str, Any], field: str) -> None:
        with pytest.raises(BadRequest) as caught:
            decode_command(frame)
        assert field in caught.value.message

    @pytest.mark.parametrize("kind", ["", "run.delete", "welcome", "RunStart"])
    def test_refuses_other_types(self, kind: str) -> None:
        with pytest.raises(UnknownType):
            decode_command({**BASE, "type": kind})


def refused(error: AosuiError) -> None:
    assert error.code in ("badJson", "badRequest", "unknownType")
    assert encode(error.message)


@given(st.binary(max_size=200) | st.text(max_size=200))
@example(b'{"type":"ping","projectId":"p","nonce":1e999}')
def test_whatever_comes_is_decoded_or_refused(data: bytes | str) -> None:
    try:
        decode_command(decode_object(data))
    except AosuiError as error:
        refused(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = ["type", "projectId", "id", "runId", "workflow", "params", "text", "answers", "questionId"]
TYPES = ["ping", "run.start", "run.cancel", "run.retry", "run.input", "question.answer"]


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.just("p"), max_size=9),
    st.sampled_from(TYPES) | JSON,
)
def test_whatever_object_comes_is_a_command_or_refused(
    fields: dict[str, Any], kind: object
) -> None:
    try:
        decode_command(decode_object(json.dumps({**fields, "type": kind})))
    except AosuiError as error:
        refused(error)


class TestEncodingData:
    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (None, b"null"),
            ({"a": (1, 2)}, b'{"a":[1,2]}'),
            ({7}, b"[7]"),
            (math.nan, b"null"),
            (datetime(2026, 1, 2, tzinfo=UTC), b'"2026-01-02T00:00:00Z"'),
        ],
    )
    def test_writes_what_msgspec_writes(self, data: object, text: bytes) -> None:
        assert encode_data(data, None, what="it") == text

    @pytest.mark.parametrize(
        "data",
        [object(), {1, object()}, {(1, 2): 3}, "\ud800", {"\ud800": 1}, msgspec.Raw(b"no json")],
    )
    def test_refuses_the_rest(self, data: object) -> None:
        with pytest.raises(NotSerialisable, match=r"^it "):
            encode_data(data, None, what="it")

    def test_refuses_what_is_nested_too_deeply_or_in_itself(self) -> None:
        loop: list[object] = []
        loop.append(loop)
        with pytest.raises(NotSerialisable, match="nested"):
            encode_data(loop, None, what="it")

    def test_json_text_of_the_author_becomes_one_line(self) -> None:
        raw = msgspec.Raw(b'{\n  "a": 1\n}')
        assert encode_data({"x": raw}, None, what="it") == b'{"x":{"a":1}}'

    def test_counts_bytes_of_json(self) -> None:
        assert encode_data("é" * 4, 10, what="it") == '"éééé"'.encode()
        with pytest.raises(NotSerialisable, match="11 bytes"):
            encode_data("x" * 9, 10, what="it")


@given(st.text(st.characters(), max_size=60), st.integers(2, 40))
def test_cut_text_fits_and_is_the_start_of_it(text: str, size: int) -> None:
    short = cut(text, size)
    assert len(encode(short)) <= size
    assert text.encode("utf-8", "replace").decode().startswith(short)


def test_text_that_fits_is_not_cut() -> None:
    assert cut("ééé", 8) == "ééé"


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("a", True),
        ("a.b-c_D9", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        (".a", False),
        ("-a", False),
        ("a/b", False),
        ("../a", False),
        ("a\0", False),
        ("a\n", False),
        ("é", False),
    ],
)
def test_project_ids(text: str, valid: bool) -> None:
    assert bool(PROJECT_ID.fullmatch(text)) == valid
