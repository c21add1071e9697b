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
    leaves it alone. Nothing is changed in place. A run that ends moves behind all others, and of
    those that ended the last 20 stay. `outputTails` are as of the last `snapshot` frame.
    """
    if frame["type"] == "snapshot":
        return {name: frame[name] for name in STATE_FIELDS if name in frame}
    if snapshot is None or frame["type"] not in EVENT_TYPES or frame["seq"] <= snapshot["seq"]:
        return snapshot
    if frame["type"] == "run.updated":
        runs = _with_run(snapshot["runs"], frame["run"])
        return {**snapshot, "seq": frame["seq"], "runs": runs}
    return {**snapshot, "seq": frame["seq"]}


def _final(run: Frame) -> bool:
    return run["state"] in FINAL_STATES


def _with_run(runs: Sequence[Frame], run: Frame) -> list[Frame]:
    for index, old in enumerate(runs):
        if old["runId"] == run["runId"] and _final(old) == _final(run):
            return [*runs[:index], run, *runs[index + 1 :]]
    runs = [*(old for old in runs if old["runId"] != run["runId"]), run]
    excess = sum(map(_final, runs)) - KEPT_FINAL_RUNS if _final(run) else 0
    if excess > 0:
        dropped = {old["runId"] for old in [old for old in runs if _final(old)][:excess]}
        runs = [old for old in runs if old["runId"] not in dropped]
    return runs
