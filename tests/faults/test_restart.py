"""A real server dies and comes back: its processes, its runs, and a clock that was set back."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
import sys
import uuid
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ..cli.conftest import Cli
from ..support import Frame, eventually, run_in
from .caller import calling, outputs

HOUR = timedelta(hours=1)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_the_processes_of_a_server_end_with_it(house: Cli, end: signal.Signals) -> None:
    server = house.serve(house.project)
    async with calling(server) as at:
        (project,) = await at.projects()
        viewer = await at.viewer(project)
        run_id = (await at.start(project, "faults:children"))["runId"]
        pids: list[int] = []
        while len(pids) < 3:
            await viewer.type("run.output")
            pids = [int(pid) for pid in re.findall(r"pid (\d+)\r?\n", said(viewer.events, run_id))]
        assert all(map(alive, pids))
        server.send(end)
        await asyncio.to_thread(server.wait)
        await eventually(lambda: not any(map(alive, pids)))
    async with calling(house.serve()) as at:
        (run,) = await at.runs(project)
        assert (run["state"], run["error"]["code"]) == ("interrupted", "interrupted")


def said(events: list[Frame], run_id: str) -> str:
    return "".join(outputs(events, run_id))


def an_hour_later(text: str) -> str:
    """Move every time in a text an hour on; it stays as long as it was."""

    def move(found: re.Match[str]) -> str:
        moved = datetime.fromisoformat(found[0]) + HOUR
        return f"{moved:%Y-%m-%dT%H:%M:%S}.{moved.microsecond // 1000:03d}Z"

    return TIME.sub(move, text)


def set_the_clock_back(log: Path) -> None:
    """
    Let everything in the log of a dead server have happened an hour later than it did.

    To the server that starts next it is as if the clock had been set back by that hour, and no
    clock is touched.
    """
    with closing(sqlite3.connect(log)) as file:
        file.create_function("later", 1, lambda body: an_hour_later(body.decode()).encode())
        file.execute("UPDATE batch SET body = later(body)")
        file.execute("UPDATE run SET body = later(body)")
        file.execute("UPDATE request SET at = at + ?", (HOUR.total_seconds(),))
        file.commit()


async def test_a_clock_set_back_an_hour_changes_no_order(house: Cli) -> None:
    server = house.serve(house.project)
    ids = [str(uuid.uuid4()) for _ in range(3)]
    async with calling(server) as at:
        (project,) = await at.projects()
        begun = []
        for request_id in ids:
            run = await at.begun(project, "talk:say", id=request_id)
            await at.ended(project, run["runId"])
            begun.append(run)
        held = await at.start(project, "faults:hold")
        viewer = await at.viewer(project, since=0, epoch=held["epoch"])
        await viewer.until(lambda frame: frame.get("text") == "ready\n")
        server.send(signal.SIGKILL)
        await asyncio.to_thread(server.wait)
    set_the_clock_back(house.state / "aosui.db")

    async with calling(house.serve()) as at:
        position = {"since": viewer.seqs[-1], "epoch": held["epoch"]}
        again = await at.viewer(project, **position)
        assert again.frames[0]["resume"]["reason"] == "ok"
        late = await at.start(project, "talk:say")
        await again.state(late["runId"])
        assert again.events[-1]["ts"] < an_hour_later(viewer.events[-1]["ts"])
        assert viewer.seqs + again.seqs == list(range(1, again.seqs[-1] + 1))
        # The run of before ended before it began, by the clock.
        interrupted = run_in(again.events[0], held["runId"])
        assert interrupted is not None
        assert interrupted["state"] == "interrupted"
        assert interrupted["endedAt"] < interrupted["startedAt"]

        stored = await at.events(project)
        assert [event["seq"] for event in stored] == list(range(1, len(stored) + 1))
        assert json.loads(an_hour_later(json.dumps(viewer.events))) == stored[: len(viewer.events)]
        runs = [late, held, *reversed(begun)]
        assert [run["runId"] for run in await at.runs(project)] == [run["runId"] for run in runs]
        snapshot = (await at.viewer(project)).frames[1]
        assert {run["runId"] for run in snapshot["runs"]} == {run["runId"] for run in runs}
        # Requests of before are known still, and so are those of now after the next start.
        assert [await at.begun(project, "talk:say", id=id) for id in ids] == begun
        ids.append(str(uuid.uuid4()))
        begun.append(await at.begun(project, "talk:say", id=ids[-1]))
        await at.ended(project, begun[-1]["runId"])
        at.server.send(signal.SIGKILL)
        await asyncio.to_thread(at.server.wait)
    async with calling(house.serve()) as at:
        assert [await at.begun(project, "talk:say", id=id) for id in ids] == begun
