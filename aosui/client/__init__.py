"""
The Python client: follow and steer one project of a running server.

    async with connect("http://127.0.0.1:8765/#token=…", project_id) as socket:
        started = await socket.start("shell:test")
        async for event in socket:
            ...

Events, snapshots and results are plain dicts, as they are on the wire (`docs/protocol.md`,
sections 3 and 6). What the client decides is in `follower`, without
any I/O; `socket` does it, and `api` has the plain HTTP calls.
"""

from __future__ import annotations

from aosui.client.api import Api
from aosui.client.follower import OutcomeUnknown
from aosui.client.socket import ProjectSocket, State, Timing, connect

__all__ = ["Api", "OutcomeUnknown", "ProjectSocket", "State", "Timing", "connect"]
