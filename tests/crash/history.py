"""What a viewer saw, and the rules that it must not contradict. Pure: no I/O."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field

Frame = dict[str, Any]


@define
class Checker:
    """
    Collects what all viewers of one project saw, over all restarts, and what is wrong with it.

    `seen` maps a seq to the text of its frame: the same for everybody, for ever.
    """

    project_id: str
    name: str
    epoch: str | None = None
    seen: dict[int, str] = field(factory=dict)
    violations: list[str] = field(factory=list)
    ends: Counter[str] = field(factory=Counter)
    queued_by_request: dict[str, set[str]] = field(factory=dict)

    def wrong(self, what: str) -> None:
        if len(self.violations) < 100:
            self.violations.append(f"{self.name}: {what}")

    def event(self, frame: Frame, text: str) -> None:
        """Take an event that a viewer was shown."""
        seq = frame["seq"]
        if frame["projectId"] != self.project_id:
            self.wrong(f"foreign: seq {seq} is of {frame['projectId']}")
        if frame["type"] == "run.output" and not frame["text"].startswith(self.name + " "):
            self.wrong(f"foreign: seq {seq} says {frame['text']!r}")
        known = self.seen.get(seq)
        if known is None:
            self.seen[seq] = text
            self._count(frame)
        elif known != text:
            self.wrong(f"changed: seq {seq} was {known[:120]} and is {text[:120]}")

    def welcome(self, frame: Frame, since: int | None) -> None:
        """Take the `welcome` that a viewer got who came with the position `since`."""
        if self.epoch is None:
            self.epoch = frame["epoch"]
        elif self.epoch != frame["epoch"]:
            self.wrong(f"epoch: was {self.epoch} and is {frame['epoch']} after kill -9")
        resume = frame["resume"]
        if since is not None:
            if frame["seq"] < since:
                self.wrong(f"lost: the head is {frame['seq']}, a viewer has seen {since}")
            if not resume["recovered"] and resume["reason"] not in ("tooFar", "tooOld"):
                self.wrong(f"resume: from {since} at {frame['seq']} was {resume['reason']}")

    def logged(self, events: list[tuple[Frame, str]], first_seq: int, head: int) -> None:
        """Compare all that was seen with all that the log has in the end."""
        log = {frame["seq"]: text for frame, text in events}
        if sorted(log) != list(range(first_seq, head + 1)):
            self.wrong(f"log: {len(log)} events of {first_seq}..{head} are there")
        for seq, text in self.seen.items():
            if seq > head:
                self.wrong(f"lost: seq {seq} was seen, the head is {head}")
            elif seq >= first_seq and log.get(seq) != text:
                self.wrong(f"lost: seq {seq} was {text[:100]}, the log has {log.get(seq)!s:.100}")
        for frame, text in events:
            self.event(frame, text)
        for run_id, ends in self.ends.items():
            if ends != 1:
                self.wrong(f"run {run_id} has {ends} final states")
        for request_id, runs in self.queued_by_request.items():
            if len(runs) != 1:
                self.wrong(f"request {request_id} started {len(runs)} runs")

    def _count(self, frame: Frame) -> None:
        if frame["type"] != "run.updated":
            return
        run = frame["run"]
        if run["endedAt"] is not None:
            self.ends[run["runId"]] += 1
        if run["state"] == "queued" and "requestId" in frame:
            self.queued_by_request.setdefault(frame["requestId"], set()).add(run["runId"])


@define
class Cursor:
    """One viewer's position, kept by the rules of the protocol over all its connections."""

    checker: Checker
    since: int | None = None
    epoch: str | None = None
    skipped: int = 0

    def take(self, frame: Frame, text: str) -> None:
        """Take a frame; what breaks the order becomes a violation."""
        kind = frame["type"]
        if kind == "welcome":
            self.checker.welcome(frame, self.since)
            if self.since is None or not frame["resume"]["recovered"]:
                self.skipped += frame["seq"] - self.since if self.since is not None else 0
                self.since = frame["seq"]
            self.epoch = frame["epoch"]
        elif kind == "gap":
            self.skipped += frame["toSeq"] - frame["fromSeq"] + 1
            self.since = frame["toSeq"]
        elif kind == "synced":
            if frame["seq"] != self.since:
                self.checker.wrong(f"synced says {frame['seq']}, the viewer is at {self.since}")
        elif kind.startswith(("run.", "question.", "project.")):
            assert self.since is not None
            if frame["seq"] != self.since + 1:
                self.checker.wrong(f"order: seq {frame['seq']} came after {self.since}")
            self.since = frame["seq"]
            self.checker.event(frame, text)
