"""The watchdog: it names who blocks the event loop, in time, and nobody else."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
import time
from typing import Any

import pytest

from aosui import ProjectChannel, Run, SyncChannel, Workflow, run_blocking
from aosui.values import Project
from aosui.watchdog import BLOCKED_SECONDS, TICK_SECONDS, Patience

from .conftest import MakeSite
from .support import Scripted, Site, eventually


def watch(ticks: list[tuple[float, float, int]]) -> list[float]:
    """Let patience look at (seconds passed, seconds of CPU, new beats) tick by tick."""
    now, cpu, beats = 100.0, 10.0, 7
    patience, seen = Patience(now, cpu, beats), []
    for passed, used, more in ticks:
        now, cpu, beats = now + passed, cpu + used, beats + more
        seen.append(round(patience.look(now, cpu, beats), 3))
    return seen


def test_a_loop_that_beats_is_never_silent() -> None:
    assert watch([(0.1, 0.1, 1), (0.1, 0.0, 2), (0.3, 0.3, 1)]) == [0, 0, 0]


def test_silence_adds_up_while_the_thread_is_on_time() -> None:
    assert watch([(0.1, 0.0, 0), (0.15, 0.1, 0), (0.1, 0.1, 1), (0.1, 0, 0)]) == [0.1, 0.25, 0, 0.1]


def test_time_in_which_the_whole_process_stood_still_is_not_counted() -> None:
    assert watch([(0.1, 0.0, 0), (30.0, 0.01, 0), (0.1, 0.0, 0)]) == [0.1, 0, 0.1]


def test_time_in_which_somebody_held_the_interpreter_is() -> None:
    assert watch([(0.1, 0.1, 0), (3.0, 2.9, 0)]) == [0.1, 3.1]


async def test_a_block_is_noticed_within_a_second() -> None:
    assert BLOCKED_SECONDS + 3 * TICK_SECONDS < 1.0


async def sleep_in_the_loop(run: Run, channel: ProjectChannel) -> object:
    await asyncio.sleep(0)
    time.sleep(1.3)  # noqa: ASYNC251
    return "slept"


async def sleep_in_a_callback(run: Run, channel: ProjectChannel) -> object:
    done = asyncio.Event()

    def call_back() -> None:
        time.sleep(1.3)
        done.set()

    asyncio.get_running_loop().call_soon(call_back)
    await done.wait()
    return "slept"


async def hold_the_interpreter(run: Run, channel: ProjectChannel) -> object:
    began, length = time.monotonic(), 18
    while time.monotonic() - began < 0.9:
        length += 1
        began = time.monotonic()
        re.match("(a+)+$", "a" * length + "b")
    return length


async def work_in_a_thread(run: Run, channel: ProjectChannel) -> object:
    def work(channel: SyncChannel) -> int:
        count, until = 0, time.monotonic() + 1.5
        while time.monotonic() < until:
            count += 1
        return count

    return await run_blocking(channel, work)


class SlowLister(Scripted):
    async def workflows(self, project: Project) -> list[Workflow]:
        time.sleep(1.3)  # noqa: ASYNC251
        return [Workflow("nothing")]


async def blocked(site: Site) -> Any:
    reply = await site.http("GET", "/api/executors")
    (executor,) = reply.body["executors"]
    return executor["blocked"]


def said(caplog: pytest.LogCaptureFixture, text: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if text in record.getMessage()]


async def run(site: Site, name: str) -> None:
    run_id = await site.registry.start_run(site.id, f"test:{name}", {})
    async with asyncio.timeout(30):
        await site.opened.runner.ended()
    assert (await site.opened.runner.status(run_id)).state == "succeeded"


@pytest.mark.parametrize("behaviour", [sleep_in_the_loop, sleep_in_a_callback])
async def test_who_blocks_is_named_while_it_does_and_shown_afterwards(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture, behaviour: Any
) -> None:
    caplog.set_level(logging.INFO, "aosui")
    site = await make_site(Scripted(block=behaviour))
    assert await blocked(site) is None
    began = time.time()
    await run(site, "block")
    ended = time.time()
    (record,) = said(caplog, "an executor blocks the event loop")
    assert record.created - began < 1.0
    assert record.created < ended
    line = record.getMessage()
    assert "executor='test'" in line
    assert '[executors.test] isolation = "process"' in line
    assert "time.sleep(1.3)" in line
    await eventually(lambda: said(caplog, "the event loop is free again"))
    shown = await blocked(site)
    assert 1.0 < shown["seconds"] < 3.0
    function = "call_back" if behaviour is sleep_in_a_callback else "sleep_in_the_loop"
    assert re.fullmatch(rf"tests\.test_watchdog:\d+ in .*{function}.*", shown["where"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["at"])
    health = await site.http("GET", "/health?verbose=1")
    assert health.body["lag"]["max"] > 1000


async def test_a_listing_that_blocks_is_named(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = await make_site(SlowLister())
    reply = await site.http("GET", f"/api/projects/{site.id}/workflows")
    assert reply.status == 200
    (record,) = said(caplog, "an executor blocks the event loop")
    assert "in SlowLister.workflows" in record.getMessage()
    await eventually(lambda: site.registry.executors.plugins["test"].blocked)


async def test_who_holds_the_interpreter_is_named_when_it_lets_go(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = await make_site(Scripted(hold=hold_the_interpreter))
    await run(site, "hold")
    await eventually(lambda: site.registry.executors.plugins["test"].blocked)
    (record,) = said(caplog, "an executor blocks the event loop")
    assert "hold_the_interpreter" in record.getMessage()


async def test_somebody_elses_block_is_nobodys_of_the_executors(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = await make_site(executors={})
    asyncio.get_running_loop().call_soon(time.sleep, 1.0)
    await eventually(lambda: said(caplog, "the event loop is blocked"))
    assert site.registry.executors.plugins == {}


async def test_work_in_a_thread_blocks_nobody(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = await make_site(Scripted(work=work_in_a_thread))
    await run(site, "work")
    assert not said(caplog, "block")
    assert await blocked(site) is None


async def test_a_process_that_was_stopped_blames_nobody() -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.watched_server", stdin=-1, stdout=-1
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert await server.stdout.readline() == b"watching\n"
    for _ in range(3):
        server.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.5)  # that much time passes without it
        server.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.3)
    server.stdin.write(b"\n")
    lines = (await server.communicate())[0].decode().splitlines()
    assert lines[0] == "went on"
    assert lines[-1] == "ended"
    assert "the event loop is blocked" in lines[1]
