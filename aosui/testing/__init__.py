"""
The kit for executor authors: a channel that records, and a suite that every executor passes.

    channel = RecordingChannel(root=tmp_path, answers={"sure": "yes"})
    await executor.execute(Run("run", "deploy", {}), channel)
    assert channel.outputs == [("stdout", "done\\n")]

    await check_executor(DeployExecutor, tmp_path)

Neither needs pytest; the fixture `aosui_channel` is there when pytest is.
"""

from __future__ import annotations

from aosui.testing.conformance import check_executor
from aosui.testing.recording import Asked, Emitted, Output, Progressed, RecordingChannel

__all__ = ["Asked", "Emitted", "Output", "Progressed", "RecordingChannel", "check_executor"]
