"""`run_blocking`: real threads, and a recording at the channel's other end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from pathlib import Path

import pytest

from aosui.blocking import SyncChannel, run_blocking
from aosui.channel import ProjectChannel
from aosui.errors import ChannelClosed, NotSerialisable
from aosui.testing import Emitted, Output, Progressed, RecordingChannel
from aosui.values import Prompt


@pytest.fixture
def channel(tmp_path: Path) -> RecordingChannel:
    return RecordingChannel(root=tmp_path)


@pytest.fixture(autouse=True)
async def nothing_leaks() -> object:
    """Check that no thread and no task outlives a test."""
    threads, tasks = set(threading.enumerate()), len(asyncio.all_tasks())
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(2)
        assert not thread.is_alive(), thread.name
    assert len(asyncio.all_tasks()) == tasks


async def test_passes_arguments_and_returns_the_result(channel: RecordingChannel) -> None:
    def work(sync: SyncChannel, first: int, second: str) -> str:
        assert threading.current_thread() is not threading.main_thread()
        return f"{sync.project.id} {sync.run_id} {first} {second}"

    assert await run_blocking(channel, work, 1, "two") == "project run 1 two"


async def test_has_the_same_verbs(channel: RecordingChannel) -> None:
    def work(sync: SyncChannel) -> list[str]:
        sync.output("out")
        sync.output("err", stream="stderr")
        sync.progress(1, 3, message="a third")
        sync.event("made", {"file": "x"})
        sync.checkpoint([1])
        answers = sync.ask(Prompt("sure", "Sure?"))
        return [str(answers["sure"]), *sync.inputs()]

    run = asyncio.ensure_future(run_blocking(channel, work))
    await channel.until(lambda: channel.open_questions)
    channel.answer({"sure": "yes"})
    channel.send_input("one")
    channel.send_input("two")
    channel.end()
    assert await run == ["yes", "one", "two"]
    assert channel.outputs == [Output("stdout", "out"), Output("stderr", "err")]
    assert channel.progresses == [Progressed(1, 3, "a third")]
    assert channel.events == [Emitted("made", {"file": "x"})]
    assert channel.checkpoints == [[1]]


def test_no_verb_is_missing() -> None:
    public = {name for name in dir(ProjectChannel) if not name.startswith("_")}
    assert public | {"cancelled"} == {name for name in dir(SyncChannel) if not name.startswith("_")}


async def test_what_the_channel_raises_is_raised_in_the_thread(
    channel: RecordingChannel,
) -> None:
    def work(sync: SyncChannel) -> None:
        with pytest.raises(NotSerialisable):
            sync.event("bad", object())
        sync.output("more")

    channel.end()
    with pytest.raises(ChannelClosed):
        await run_blocking(channel, work)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
async def test_what_the_function_raises_is_raised(
    channel: RecordingChannel, error: BaseException
) -> None:
    def work(sync: SyncChannel) -> None:
        raise error

    with pytest.raises(type(error)):
        await run_blocking(channel, work)


async def test_a_stop_iteration_does_not_hang(channel: RecordingChannel) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await run_blocking(channel, lambda sync: next(iter([])))


async def test_context_variables_are_there(channel: RecordingChannel) -> None:
    variable = contextvars.ContextVar("variable", default="no")
    variable.set("yes")
    assert await run_blocking(channel, lambda sync: variable.get()) == "yes"


async def test_the_thread_waits_while_the_log_is_behind(channel: RecordingChannel) -> None:
    channel.fill()
    run = asyncio.ensure_future(run_blocking(channel, lambda sync: sync.output("late")))
    await channel.until(lambda: channel.waiting)
    assert channel.outputs == []
    channel.drain()
    await run
    assert channel.text == "late"


async def test_many_block_at_once(channel: RecordingChannel) -> None:
    barrier = threading.Barrier(64)
    await asyncio.gather(*(run_blocking(channel, lambda sync: barrier.wait(10)) for _ in range(64)))


async def test_on_the_loop_it_is_an_error_and_no_deadlock(channel: RecordingChannel) -> None:
    kept: list[SyncChannel] = []
    await run_blocking(channel, kept.append)
    with pytest.raises(RuntimeError, match="not for the loop"):
        kept[0].output("x")


class TestCancel:
    async def test_waits_for_the_thread(self, channel: RecordingChannel) -> None:
        ended = threading.Event()

        def work(sync: SyncChannel) -> None:
            sync.output("go")
            while not sync.cancelled:
                time.sleep(0.001)
            time.sleep(0.1)
            ended.set()

        run = asyncio.ensure_future(run_blocking(channel, work))
        await channel.until(lambda: channel.text)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert ended.is_set()

    async def test_later_calls_raise(self, channel: RecordingChannel) -> None:
        def work(sync: SyncChannel) -> None:
            while True:
                try:
                    sync.output(".")
                except Exception:
                    sync.output("swallowed")

        run = asyncio.ensure_future(run_blocking(channel, work))
        await channel.until(lambda: channel.text)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert set(channel.text) == {"."}

    @pytest.mark.parametrize("waiting", ["ask", "inputs", "output"])
    async def test_a_call_that_waits_is_ended(
        self, channel: RecordingChannel, waiting: str
    ) -> None:
        def work(sync: SyncChannel) -> None:
            sync.event("go")
            if waiting == "ask":
                sync.ask(Prompt("sure", "Sure?"))
            elif waiting == "inputs":
                list(sync.inputs())
            else:
                while True:
                    sync.output("x")

        run = asyncio.ensure_future(run_blocking(channel, work))
        await channel.until(lambda: channel.events)
        if waiting == "output":
            channel.fill()
            await channel.until(lambda: channel.waiting)
        elif waiting == "ask":
            await channel.until(lambda: channel.open_questions)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not channel.open_questions
        assert not channel.waiting

    async def test_a_cancel_nobody_asked_for_goes_through(self, channel: RecordingChannel) -> None:
        def work(sync: SyncChannel) -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await run_blocking(channel, work)

    async def test_a_second_cancel_leaves_a_stubborn_thread(
        self, channel: RecordingChannel
    ) -> None:
        loop = asyncio.get_running_loop()
        release, refused = threading.Event(), asyncio.Event()

        def work(sync: SyncChannel) -> None:
            sync.output("go")
            release.wait(10)
            try:
                sync.output("late")
            except asyncio.CancelledError:
                loop.call_soon_threadsafe(refused.set)

        run = asyncio.ensure_future(run_blocking(channel, work))
        await channel.until(lambda: channel.text)
        run.cancel()
        await asyncio.wait([run], timeout=0.1)
        assert not run.done(), "the run is not over before the thread is"
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        release.set()
        await asyncio.wait_for(refused.wait(), 5)
        assert channel.text == "go"
