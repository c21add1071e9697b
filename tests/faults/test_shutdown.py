"""A real server stops while others do not: idle, stalled, stubborn, asking."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import time
import uuid
from contextlib import closing

import pytest

from ..cli.conftest import Cli, Server
from ..support import Frame, Socket, SocketClosed, run_in
from .caller import calling, limits_file, outputs

HANDSHAKE = """GET /ws?projectId={project_id} HTTP/1.1\r
Host: 127.0.0.1:{port}\r
Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r
Sec-WebSocket-Protocol: aosui.v1\r
Authorization: Bearer {token}\r
\r
"""


async def stop(server: Server, number: signal.Signals = signal.SIGTERM) -> float:
    """Stop a server; returns the seconds until its clean end."""
    began = time.monotonic()
    server.send(number)
    assert await asyncio.to_thread(server.wait, 30) == 0
    return time.monotonic() - began


async def test_two_hundred_idle_viewers_are_told_and_keep_nobody(house: Cli) -> None:
    server = house.serve(house.project)
    async with calling(server) as at:
        (project,) = await at.projects()
        viewers = await asyncio.gather(*(at.viewer(project) for _ in range(200)))
        closing_codes = asyncio.gather(*(viewer.closed() for viewer in viewers))
        # A second is the promise; aiohttp would take four without us, and this machine is shared.
        assert await stop(server) < 3
        assert await closing_codes == [1001] * 200


def stalled_viewer(server: Server, project_id: str) -> socket.socket:
    """Open a socket that never reads: the kernel takes little for it, the server the rest."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect(("127.0.0.1", server.port))
    line.sendall(
        HANDSHAKE.format(project_id=project_id, port=server.port, token=server.token).encode()
    )
    return line


@pytest.mark.slow
async def test_a_stalled_viewer_and_a_stubborn_run_keep_it_ten_seconds_at_most(
    house: Cli,
) -> None:
    server = house.serve(house.project)
    async with calling(server) as at:
        (project,) = await at.projects()
        stubborn = (await at.start(project, "talk:stubborn"))["runId"]
        with stalled_viewer(server, project):
            viewer = await at.viewer(project)
            flood = (await at.start(project, "faults:flood", count=10_000, width=500))["runId"]
            assert (await viewer.state(flood))["state"] == "succeeded"
            goodbye = asyncio.create_task(viewer.closed())
            assert await stop(server) < 10
            assert await goodbye == 1001
    assert "Traceback" not in server.stderr.rest()
    async with calling(house.serve()) as at:
        states = {run["runId"]: run["state"] for run in await at.runs(project)}
        assert states == {stubborn: "interrupted", flood: "succeeded"}
        stored = await at.events(project)
        first = viewer.seqs[0] - 1
        assert stored[first : first + len(viewer.events)] == viewer.events


def ends(events: list[Frame], run_id: str) -> list[str]:
    """The final states that a run was given."""
    return [
        run["state"]
        for event in events
        if (run := run_in(event, run_id)) is not None and run["endedAt"] is not None
    ]


async def until_closed(viewer: Socket) -> None:
    try:
        while True:
            await viewer.frame()
    except (SocketClosed, AssertionError):
        pass


async def test_a_second_ctrl_c_in_a_flood_leaves_all_that_was_shown_in_the_log(
    house: Cli,
) -> None:
    server = house.serve(house.project)
    async with calling(server) as at:
        (project,) = await at.projects()
        viewer = await at.viewer(project)
        stubborn = (await at.start(project, "talk:stubborn"))["runId"]
        flood = (await at.start(project, "faults:flood", count=10_000_000))["runId"]
        await viewer.until(lambda frame: "9999\n" in frame.get("text", ""))
        server.send(signal.SIGINT)
        await asyncio.to_thread(server.stderr.until, "stopping")
        server.send(signal.SIGINT)
        assert await asyncio.to_thread(server.wait) == 130
        await until_closed(viewer)
    with closing(sqlite3.connect(house.state / "aosui.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with calling(house.serve()) as at:
        epoch, since = viewer.frames[0]["epoch"], viewer.seqs[-1]
        resume = (await at.viewer(project, since=since, epoch=epoch)).frames[0]["resume"]
        assert resume["reason"] in ("ok", "tooFar")
        stored = await at.events(project)
        assert stored[: len(viewer.events)] == viewer.events
        assert [event["seq"] for event in stored] == list(range(1, len(stored) + 1))
        assert len(outputs(stored, flood)) >= 10_000
        assert ends(stored, flood) == ends(stored, stubborn) == ["interrupted"]


async def test_requests_that_arrive_while_it_stops_are_done_once_by_who_asks_again(
    house: Cli,
) -> None:
    server = house.serve(house.project, "--config", limits_file(house, cancel_seconds=1))
    sent: list[str] = []
    async with calling(server) as at:
        (project,) = await at.projects()
        await at.start(project, "talk:stubborn")  # keeps it busy with stopping
        viewer = await at.viewer(project)

        async def ask() -> None:
            while not viewer.ws.closed:
                if len(sent) == 20:
                    server.send(signal.SIGTERM)
                sent.append(str(uuid.uuid4()))
                await viewer.send("run.start", id=sent[-1], workflow="talk:say", params={})
                await asyncio.sleep(0.02)

        asking = asyncio.create_task(ask())
        await until_closed(viewer)
        asking.cancel()
        await asyncio.wait([asking])
        assert viewer.ws.close_code == 1001
        replies = {frame["id"]: frame for frame in viewer.frames if frame["type"] == "reply"}
        done = {id: reply["result"] for id, reply in replies.items() if reply["ok"]}
        refused = [reply["error"]["code"] for reply in replies.values() if not reply["ok"]]
        assert set(refused) <= {"shuttingDown"}
        assert 0 < len(done) < len(sent)
        assert await asyncio.to_thread(server.wait) == 0
    async with calling(house.serve()) as at:
        begun = {id: await at.begun(project, "talk:say", id=id) for id in sent}
        assert {id: begun[id] for id in done} == done
        _, body = await at.http("GET", f"projects/{project}/runs?limit=500")
        said = [run["runId"] for run in body["runs"] if run["workflow"] == "talk:say"]
        assert sorted(said) == sorted(run["runId"] for run in begun.values())
