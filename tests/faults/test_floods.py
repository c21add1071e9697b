"""Executors that say more than anybody can take."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from aosui import SqliteLog
from aosui.log import StoredRun

from ..cli.conftest import Cli, Server
from ..support import Frame
from .caller import Caller, calling, limits_file, outputs

MIB = 1024 * 1024
COUNT = 1_000_000


def memory(server: Server, field: str) -> int:
    """Return the bytes that a server has (`VmRSS`) or had at most (`VmHWM`)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


async def stored(path: Path, project_id: str) -> list[Frame]:
    """Read all kept events of a project from the log of a server that has stopped."""
    log = SqliteLog(path)

    def deliver(entries: Sequence[bytes], runs: Sequence[StoredRun], first_seq: int) -> None:
        raise AssertionError("nobody appends")

    position = await log.open(project_id, deliver)
    after, events = position.first_seq - 1, []
    while entries := await log.read(project_id, after, 100_000, 64 * MIB):
        events += [msgspec.json.decode(entry) for entry in entries]
        after += len(entries)
    await log.close()
    return events


async def lone_runs(at: Caller, project_id: str, beside: tuple[str, str]) -> int:
    """Start runs, one after the other, beside one of another project; returns how many ended."""
    count = 0
    path = "projects/{}/runs/{}".format(*beside)
    while (await at.http("GET", path))[1]["endedAt"] is None:
        run = await at.start(project_id, "talk:say")
        assert (await at.ended(project_id, run["runId"]))["state"] == "succeeded"
        count += 1
    return count


@pytest.mark.slow
async def test_a_million_outputs_are_stored_in_bounded_memory_and_others_go_on(
    house: Cli,
) -> None:
    other = house.home / "other"
    other.mkdir()
    config = limits_file(house, kept_bytes=1024 * MIB)
    server = house.serve(house.project, other, "--config", config)
    async with calling(server) as at:
        one, two = await at.projects()
        await at.ended(one, (await at.start(one, "faults:flood", count=1000))["runId"])
        Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # VmHWM starts anew
        before = memory(server, "VmRSS")
        run_id = (await at.start(one, "faults:flood", count=COUNT))["runId"]
        assert await lone_runs(at, two, (one, run_id)) > 20
        assert (await at.ended(one, run_id))["state"] == "succeeded"
        assert memory(server, "VmHWM") - before < 64 * MIB
    server.send(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait) == 0
    events = await stored(house.state / "aosui.db", one)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert outputs(events, run_id) == [f"{number}\n" for number in range(COUNT)]


async def test_one_very_large_output_is_split_and_one_very_large_value_refused(house: Cli) -> None:
    async with calling(house.serve(house.project)) as at:
        (project,) = await at.projects()
        viewer = await at.viewer(project)
        run_id = (await at.start(project, "faults:large", size=10_000_000))["runId"]
        assert (await viewer.state(run_id))["state"] == "succeeded"
        said = outputs(viewer.events, run_id)
        assert "".join(said) == "0123456789" * 1_000_000
        assert max(len(text) for text in viewer.texts) <= 64 * 1024
        run_id = (await at.start(project, "faults:large-data", size=10_000_000))["runId"]
        run = await viewer.state(run_id)
        assert (run["state"], run["error"]["code"]) == ("failed", "notSerialisable")
        assert not [event for event in viewer.events if event["type"] == "run.event"]
