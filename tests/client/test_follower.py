"""The rules of a client, one call each: position, resume, state, outbox, close codes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aosui.client.fold import Frame
from aosui.client.follower import (
    Effect,
    Emit,
    Follower,
    OutcomeUnknown,
    Refused,
    Resync,
    Send,
    Settle,
    Synced,
    after_close,
    backoff,
    close_error,
    wire_error,
)
from aosui.errors import (
    AosuiError,
    MessageTooBig,
    ProjectClosed,
    RunNotFound,
    Unauthorized,
    UnsupportedVersion,
)

EPOCH = "aaaaaaaaaaaa"
OTHER = "bbbbbbbbbbbb"


def welcome(seq: int, *, recovered: bool, reason: str = "ok", epoch: str = EPOCH) -> Frame:
    return {
        "type": "welcome",
        "epoch": epoch,
        "seq": seq,
        "firstSeq": 1,
        "resume": {"recovered": recovered, "reason": reason, "replayed": 0},
        "limits": {"maxMessageBytes": 1000, "requestsPerSecond": 50},
    }


def snapshot(seq: int, *runs: Frame, epoch: str = EPOCH) -> Frame:
    return {
        "type": "snapshot",
        "epoch": epoch,
        "seq": seq,
        "project": {"name": "site"},
        "runs": list(runs),
        "outputTails": {},
    }


def updated(seq: int, run_id: str, state: str) -> Frame:
    return {"type": "run.updated", "seq": seq, "run": {"runId": run_id, "state": state}}


def output(seq: int) -> Frame:
    return {"type": "run.output", "seq": seq, "runId": "r", "stream": "stdout", "text": str(seq)}


def feed(follower: Follower, *frames: Frame, now: float = 0.0) -> list[Effect]:
    return [effect for frame in frames for effect in follower.receive(frame, now)]


def fresh(seq: int = 5) -> Follower:
    follower = Follower("site")
    frames = (
        welcome(seq, recovered=False, reason="fresh"),
        snapshot(seq),
        {"type": "synced", "seq": seq},
    )
    assert feed(follower, *frames) == [Synced()]
    return follower


def resume(follower: Follower, head: int) -> list[Effect]:
    """Connect again with nothing lost: the events since, then `synced`."""
    since = follower.last_seq or 0
    replay = [output(seq) for seq in range(since + 1, head + 1)]
    synced = {"type": "synced", "seq": head}
    return feed(follower, welcome(head, recovered=True), snapshot(head), *replay, synced)


def test_a_fresh_client_has_no_position_and_starts_at_the_head() -> None:
    assert Follower("site").query() == {}
    assert fresh(7).query() == {"since": "7", "epoch": EPOCH}


def test_a_client_that_saw_no_event_resumes_too() -> None:
    assert fresh(0).query() == {"since": "0", "epoch": EPOCH}


def test_a_given_position_is_where_the_first_connection_goes_on() -> None:
    assert Follower("site", 3, EPOCH).query() == {"since": "3", "epoch": EPOCH}


def test_events_are_shown_once_and_move_the_position() -> None:
    follower = fresh(5)
    assert feed(follower, output(6), output(6), output(7)) == [Emit(output(6)), Emit(output(7))]
    assert follower.last_seq == 7


def test_an_event_that_skips_one_asks_for_a_resync_and_is_not_taken() -> None:
    follower = fresh(5)
    assert feed(follower, output(7)) == [Resync()]
    assert follower.last_seq == 5


def test_synced_at_another_position_asks_for_a_resync() -> None:
    follower = fresh(5)
    follower.lost()
    frames = welcome(7, recovered=True), snapshot(7), {"type": "synced", "seq": 7}
    assert feed(follower, *frames) == [Resync()]
    assert not follower.live


def test_an_unknown_event_counts_and_an_unknown_frame_does_not() -> None:
    follower = fresh(5)
    event = {"type": "run.sang", "seq": 6}
    assert feed(follower, event, {"type": "weather"}, {"type": "pong", "nonce": 1}) == []
    assert follower.last_seq == 6


def test_history_leaves_the_state_alone_and_what_is_newer_moves_it() -> None:
    follower = fresh(0)
    follower.lost()
    run = {"runId": "r", "state": "succeeded"}
    feed(follower, welcome(2, recovered=True), snapshot(2, run), updated(1, "r", "running"))
    assert follower.snapshot is not None
    assert follower.snapshot["runs"] == [run]
    feed(follower, updated(2, "r", "succeeded"), updated(3, "s", "queued"))
    assert [run["runId"] for run in follower.snapshot["runs"]] == ["r", "s"]
    assert follower.snapshot["seq"] == 3


def test_a_late_snapshot_never_moves_the_position() -> None:
    follower = fresh(5)
    assert feed(follower, snapshot(9)) == []
    assert follower.last_seq == 5


def test_a_gap_is_shown_with_the_snapshot_that_bridges_it() -> None:
    follower = fresh(5)
    gap = {"type": "gap", "fromSeq": 6, "toSeq": 90, "reason": "tooOld"}
    assert feed(follower, gap) == []
    [shown] = feed(follower, snapshot(90))
    assert isinstance(shown, Emit)
    assert {**gap, "projectId": "site", "snapshot": follower.snapshot} == shown.event
    assert feed(follower, output(91)) == [Emit(output(91))]


def resume_elsewhere(reason: str, epoch: str, head: int) -> Frame:
    """Resume from seq 5 without being recovered; return what is shown of it."""
    follower = fresh(5)
    follower.lost()
    [shown, synced] = feed(
        follower,
        welcome(head, recovered=False, reason=reason, epoch=epoch),
        snapshot(head, epoch=epoch),
        {"type": "synced", "seq": head},
    )
    assert isinstance(shown, Emit)
    assert synced == Synced()
    assert follower.query() == {"since": str(head), "epoch": epoch}
    return shown.event


@pytest.mark.parametrize("reason", ["tooFar", "tooOld"])
def test_what_a_resume_skips_is_shown_as_missing(reason: str) -> None:
    shown = resume_elsewhere(reason, EPOCH, 20_000)
    assert (shown["type"], shown["reason"]) == ("gap", reason)
    assert (shown["fromSeq"], shown["toSeq"]) == (6, 20_000)


@pytest.mark.parametrize(
    ("reason", "epoch", "head"),
    [("epochChanged", OTHER, 3), ("epochChanged", OTHER, 50), ("ahead", EPOCH, 3)],
)
def test_another_log_is_shown_as_a_reset(reason: str, epoch: str, head: int) -> None:
    shown = resume_elsewhere(reason, epoch, head)
    assert (shown["type"], shown["reason"]) == ("reset", reason)
    assert (shown["snapshot"]["epoch"], shown["snapshot"]["seq"]) == (epoch, head)


def test_what_is_missing_is_shown_though_the_line_breaks_before_the_snapshot() -> None:
    follower = fresh(5)
    follower.lost()
    feed(follower, welcome(20, recovered=False, reason="tooFar"))
    follower.lost()
    [shown, *_] = resume(follower, 20)
    assert isinstance(shown, Emit)
    assert (shown.event["fromSeq"], shown.event["toSeq"]) == (6, 20)


def test_requests_wait_for_synced_and_are_sent_again_under_the_same_id() -> None:
    follower = Follower("site")
    request_id, effects = follower.request("run.cancel", {"runId": "r"}, 0)
    frame = {"type": "run.cancel", "projectId": "site", "id": request_id, "runId": "r"}
    assert effects == []
    synced = {"type": "synced", "seq": 0}
    assert feed(follower, welcome(0, recovered=False), snapshot(0), synced) == [
        Synced(),
        Send(frame),
    ]
    follower.lost()
    assert resume(follower, 0) == [Synced(), Send(frame)]


def test_a_reply_settles_its_request_once() -> None:
    follower = fresh()
    request_id, _ = follower.request("run.start", {"workflow": "a:b"}, 0)
    reply = {"type": "reply", "id": request_id, "ok": True, "result": {"runId": "r"}}
    assert feed(follower, reply, reply) == [Settle(request_id, {"runId": "r"})]
    assert follower.unanswered == ()


def test_a_refusal_settles_with_the_error_of_its_code() -> None:
    follower = fresh()
    request_id, _ = follower.request("run.cancel", {"runId": "r"}, 0)
    error = {"code": "runNotFound", "message": "gone", "retryable": False, "details": None}
    reply = {"type": "reply", "id": request_id, "ok": False, "error": error}
    [settled] = feed(follower, reply)
    assert isinstance(settled, Settle)
    assert isinstance(settled.outcome, RunNotFound)
    assert str(settled.outcome) == "gone"


def test_a_sent_request_is_not_repeated_in_another_epoch() -> None:
    follower = fresh()
    request_id, [_] = follower.request("run.start", {"workflow": "a:b"}, 0)
    follower.lost()
    _, synced, settled = feed(
        follower,
        welcome(0, recovered=False, reason="epochChanged", epoch=OTHER),
        snapshot(0, epoch=OTHER),
        {"type": "synced", "seq": 0},
    )
    assert synced == Synced()
    assert isinstance(settled, Settle)
    assert settled.request_id == request_id
    assert isinstance(settled.outcome, OutcomeUnknown)
    assert settled.outcome.details == {"requestId": request_id, "sent": True}


def test_a_request_that_was_never_sent_is_sent_in_whatever_epoch_comes() -> None:
    follower = fresh()
    follower.lost()
    request_id, _ = follower.request("run.start", {"workflow": "a:b"}, 0)
    *_, sent = feed(
        follower,
        welcome(0, recovered=False, reason="epochChanged", epoch=OTHER),
        snapshot(0, epoch=OTHER),
        {"type": "synced", "seq": 0},
    )
    assert isinstance(sent, Send)
    assert sent.frame["id"] == request_id


@pytest.mark.parametrize(("age", "repeated"), [(299, True), (301, False)])
def test_a_request_older_than_five_minutes_is_not_repeated(age: float, repeated: bool) -> None:
    follower = fresh()
    follower.request("run.start", {"workflow": "a:b"}, 0)
    follower.lost()
    frames = welcome(5, recovered=True), snapshot(5), {"type": "synced", "seq": 5}
    *_, last = feed(follower, *frames, now=age)
    assert isinstance(last, Send) is repeated
    assert bool(follower.unanswered) is repeated


def test_a_request_expires_without_a_connection_too() -> None:
    follower = fresh()
    request_id, _ = follower.request("run.start", {}, 0)
    assert list(follower.expire(299)) == []
    [settled] = follower.expire(300)
    assert isinstance(settled, Settle)
    assert settled.request_id == request_id


def test_a_forgotten_request_is_not_sent_again() -> None:
    follower = fresh()
    request_id, _ = follower.request("run.start", {}, 0)
    follower.forget(request_id)
    follower.lost()
    assert resume(follower, 5) == [Synced()]


def test_a_request_that_the_server_would_not_take_is_refused_at_home() -> None:
    with pytest.raises(MessageTooBig, match="takes 1000"):
        fresh().request("run.input", {"text": "x" * 1000}, 0)


def test_text_that_is_not_unicode_never_enters_the_outbox() -> None:
    follower = fresh()
    with pytest.raises(ValueError, match="surrogates"):
        follower.request("run.input", {"text": "\ud800"}, 0)
    assert follower.unanswered == ()


def test_only_a_fatal_error_says_why_the_connection_ends() -> None:
    error = {"code": "unauthorized", "message": "no", "retryable": False, "details": None}
    mild, fatal = ({"type": "error", "error": error, "fatal": fatal} for fatal in (False, True))
    [refused] = feed(fresh(), mild, fatal)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, Unauthorized)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, False),
        ({"seq": None, "activity": {"active": 1}}, True),
        ({"seq": 6}, True),
        ({"epoch": OTHER}, True),
        ({"projectId": "other"}, True),
    ],
)
def test_a_dormant_client_comes_back_for_a_reason(change: dict[str, Any], wanted: bool) -> None:
    listed = {"projectId": "site", "epoch": EPOCH, "seq": 5, "activity": {"active": 0}}
    assert fresh(5).wants([listed | change]) is wanted


@pytest.mark.parametrize(
    ("codes", "verdict"),
    [
        ([1001, 1006, 1005, 1011, 1012, 2999], "reconnect"),
        ([4000, 4004, 4007, 4008, 4499], "reconnect"),
        ([4510], "dormant"),
        ([1000, 1009, 4500, 4501, 4502, 4503, 4504, 4505, 4506, 4508, 4999], "final"),
    ],
)
def test_the_close_code_alone_decides(codes: list[int], verdict: str) -> None:
    assert {after_close(code) for code in codes} == {verdict}


def test_backoff_grows_to_four_seconds_and_is_spread() -> None:
    assert [backoff(n, 0.0) for n in (0, 5, 5000)] == [0.5, 0.5, 0.5]
    assert [backoff(n, 0.5) for n in (0, 1, 2, 3, 4)] == [0.75, 1.0, 1.5, 2.5, 2.5]
    assert backoff(5000, 0.999) == 4.0


def test_errors_of_the_wire_keep_their_code_even_when_unknown() -> None:
    strange = {"code": "teapot", "message": "short and stout", "retryable": True}
    error = wire_error(strange)
    assert (error.code, error.message, error.retryable) == ("teapot", "short and stout", True)
    assert type(error) is AosuiError


def test_a_close_without_an_error_frame_has_an_error_too() -> None:
    assert isinstance(close_error(4504), ProjectClosed)
    assert isinstance(close_error(4505), UnsupportedVersion)
    assert isinstance(close_error(1009), MessageTooBig)
    assert close_error(4508).code == "replaced"
    assert "4999" in str(close_error(4999))


@given(cuts=st.lists(st.integers(0, 12), max_size=6))
def test_cut_after_any_frame_every_event_is_shown_once_and_in_order(cuts: list[int]) -> None:
    """Each connection breaks after so many frames; the server has one event more each time."""
    follower = fresh(0)
    shown: list[int] = []
    head = 0
    for cut in [*cuts, 99]:
        follower.lost()
        head += 1
        since = follower.last_seq or 0
        replay = [output(seq) for seq in range(since + 1, head + 1)]
        frames = [
            welcome(head, recovered=True),
            snapshot(head),
            *replay,
            {"type": "synced", "seq": head},
        ]
        effects = feed(follower, *frames[:cut])
        shown += [effect.event["seq"] for effect in effects if isinstance(effect, Emit)]
    assert shown == list(range(1, head + 1))
