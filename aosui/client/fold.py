"""
The fold as clients have it: a project's state from the frames that its server sends.

Pure, and the same as in the JavaScript client: `tests/vectors/fold/` holds both to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aosui.events import FINAL_STATES

__all__ = ["EVENT_TYPES", "Frame", "fold"]

Frame = dict[str, Any]
"""A JSON object as it is on the wire."""

EVENT_TYPES = frozenset(
    {"run.updated", "run.output", "run.event", "question.closed", "project.event"}
)
KEPT_FINAL_RUNS = 20
STATE_FIELDS = ("projectId", "epoch", "seq", "project", "runs", "outputTails")


def fold(snapshot: Frame | None, frame: Frame) -> Frame | None:
    """
    Fold one server frame into a project's state.

    A `snapshot` frame is the new state, an event above `snapshot["seq"]` moves it, everything else
    leaves it alone. Nothing is changed in place. `runs` are the last 20 that ended, as they ended,
    then the active ones, as they started; `outputTails` are as of the last `snapshot` frame.
    """
    if frame["type"] == "snapshot":
        return {name: frame[name] for name in STATE_FIELDS if name in frame}
    if snapshot is None or frame["type"] not in EVENT_TYPES or frame["seq"] <= snapshot["seq"]:
        return snapshot
    if frame["type"] == "run.updated":
        runs = _with_run(snapshot["runs"], frame["run"])
        return {**snapshot, "seq": frame["seq"], "runs": runs}
    return {**snapshot, "seq": frame["seq"]}


def _with_run(runs: Sequence[Frame], run: Frame) -> list[Frame]:
    known = any(old["runId"] == run["runId"] and _final(old) == _final(run) for old in runs)
    if known:
        return [run if old["runId"] == run["runId"] else old for old in runs]
    others = [old for old in runs if old["runId"] != run["runId"]]
    final = [old for old in others if _final(old)]
    active = [old for old in others if not _final(old)]
    if _final(run):
        return [*[*final, run][-KEPT_FINAL_RUNS:], *active]
    return [*final, *active, run]


def _final(run: Frame) -> bool:
    return run["state"] in FINAL_STATES
