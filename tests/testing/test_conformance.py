"""One executor that keeps every rule, and one for each rule that breaks it."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from aosui import (
    ExecutorError,
    IncompleteWorkflows,
    Param,
    Project,
    ProjectChannel,
    Prompt,
    Run,
    Workflow,
)
from aosui.testing import check_executor
from aosui.testing.leftovers import ask_ps, descendants

SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


class Good:
    """Says a bit of everything, and ends."""

    api_version = 1

    def __init__(self) -> None:
        self.closed = False
        self.ends: list[str] = []

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        assert project.root.is_dir()
        return [
            Workflow("greet", params=[Param("times", type="integer", default=3)]),
            Workflow("ask", params=[Param("whom")]),
        ]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        end = "cancelled"
        try:
            if run.workflow == "ask":
                answers = await channel.ask(Prompt("sure", f"Greet {run.params['whom']}?"))
                if answers["sure"] == "no":
                    end = "refused"
                    raise ExecutorError("nobody is greeted")
            for done in range(run.params.get("times", 1)):
                await channel.output("hello\n")
                await channel.progress(done, 3)
            await channel.event("greeted", {"times": 3})
            end = "done"
        finally:
            self.ends.append(end)
        return {"greeted": True}

    async def close(self) -> None:
        self.closed = True


async def test_a_good_executor_passes(tmp_path: Path) -> None:
    made: list[Good] = []

    def factory() -> Good:
        made.append(Good())
        return made[-1]

    await check_executor(factory, tmp_path)
    (executor,) = made
    assert executor.closed
    assert executor.ends == ["done", "done", "done", "cancelled"]


@pytest.mark.parametrize(("answer", "end"), [("yes", "done"), ("no", "refused")])
async def test_the_author_chooses_runs_and_answers(tmp_path: Path, answer: str, end: str) -> None:
    executor = Good()
    runs = [("ask", {"whom": "you"})]
    await check_executor(lambda: executor, tmp_path, runs=runs, answers={"sure": answer})
    assert executor.ends == [end, end, "cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ([("dance", {})], "no workflow 'dance' among greet, ask"),
        ([("ask", {})], "needs the parameter 'whom'"),
        ([("ask", {"who": "you"})], "has no parameter 'who'"),
        ([("greet", {"times": "3"})], "times must be an integer"),
    ],
)
async def test_runs_that_cannot_be(
    tmp_path: Path, runs: list[tuple[str, dict[str, Any]]], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        await check_executor(Good, tmp_path, runs=runs)


class Made:
    """An executor made of functions, so that a bad one is only what is bad in it."""

    api_version = 1

    def __init__(
        self,
        execute: Callable[[ProjectChannel], Coroutine[Any, Any, object]] | None = None,
        workflows: Callable[[], Any] | None = None,
        close: Callable[[], Any] | None = None,
    ) -> None:
        self._execute = execute or well
        self._workflows = workflows or listed
        if close is not None:
            self.close = close

    def workflows(self, project: Project) -> Coroutine[Any, Any, Sequence[Workflow]]:
        return self._workflows()

    def execute(self, run: Run, channel: ProjectChannel) -> Coroutine[Any, Any, object]:
        return self._execute(channel)


async def well(channel: ProjectChannel) -> object:
    await channel.output("well\n")
    return None


async def listed() -> list[Workflow]:
    return [Workflow("work")]


async def caught(root: Path, executor: Any, **options: Any) -> str:
    """What the kit says of a bad executor."""
    with pytest.raises(AssertionError) as caught:
        await check_executor(lambda: executor, root, grace=0.5, **options)
    return str(caught.value)


async def test_the_made_one_is_good(tmp_path: Path) -> None:
    await check_executor(Made, tmp_path)


async def test_another_version(tmp_path: Path) -> None:
    executor = Made()
    executor.api_version = 2
    assert await caught(tmp_path, executor) == "version: the executor says api_version = 2, not 1"


async def slow() -> list[Workflow]:
    await asyncio.sleep(60)
    return []


async def twice() -> list[Workflow]:
    return [Workflow("work"), Workflow("work")]


async def names() -> list[str]:
    return ["work"]


async def nothing() -> None:
    pass


async def failing() -> list[Workflow]:
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("workflows", "reason"),
    [
        (slow, "takes more than 0.5 s"),
        (twice, "lists 'work' twice"),
        (names, "lists 'work', which is no Workflow"),
        (failing, "raises KeyError('oops')"),
        (nothing, "returns None, no sequence of Workflow"),
        (lambda: [Workflow("work")], "workflows() is no coroutine: write `async def workflows`"),
    ],
)
async def test_workflows(tmp_path: Path, workflows: Callable[[], Any], reason: str) -> None:
    said = await caught(tmp_path, Made(workflows=workflows))
    assert said.startswith("workflows: ")
    assert reason in said


async def test_workflows_that_are_not_all_there(tmp_path: Path) -> None:
    async def some() -> list[Workflow]:
        raise IncompleteWorkflows("one cannot be read", [Workflow("work")])

    await check_executor(lambda: Made(workflows=some), tmp_path)


async def exits(channel: ProjectChannel) -> None:
    sys.exit(3)


async def uncalled_for(channel: ProjectChannel) -> None:
    raise asyncio.CancelledError


async def accident(channel: ProjectChannel) -> None:
    raise KeyError("oops")


async def asks(channel: ProjectChannel) -> None:
    await channel.ask(Prompt("sure", "Sure?"))


async def streams(channel: ProjectChannel) -> Any:
    yield "a generator"


@pytest.mark.parametrize(
    ("execute", "reason"),
    [
        (exits, "fails with SystemExit(3), not with an ExecutorError"),
        (uncalled_for, "raises CancelledError, which nobody asked for"),
        (accident, "fails with KeyError('oops'), not with an ExecutorError"),
        (asks, "asks 'sure': pass answers={...}"),
        (streams, "execute() is no coroutine: write `async def execute`"),
    ],
)
async def test_the_end(tmp_path: Path, execute: Any, reason: str) -> None:
    said = await caught(tmp_path, Made(execute))
    assert said.startswith("end: ")
    assert reason in said


async def stubborn(channel: ProjectChannel) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(60)


async def breaks_when_cancelled(channel: ProjectChannel) -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise RuntimeError("in a clean-up") from None


async def test_a_cancel_that_is_ignored(tmp_path: Path) -> None:
    said = await caught(tmp_path, Made(stubborn), timeout=0.1)
    assert said == "cancel: the run of 'work' goes on 0.5 s after it was cancelled"


async def test_a_cancel_that_breaks(tmp_path: Path) -> None:
    said = await caught(tmp_path, Made(breaks_when_cancelled), timeout=0.1)
    assert "fails with RuntimeError('in a clean-up')" in said


async def test_a_run_without_an_end_of_its_own_is_cancelled(tmp_path: Path) -> None:
    async def serve(channel: ProjectChannel) -> None:
        await channel.output("ready\n")
        await asyncio.Event().wait()

    await check_executor(lambda: Made(serve), tmp_path, timeout=0.1)


class Tasks:
    """Keep the tasks that bad executors start, as asyncio asks for."""

    def __init__(self) -> None:
        self.all: list[asyncio.Task[Any]] = []

    def start(self, coroutine: Any) -> None:
        self.all.append(asyncio.create_task(coroutine))


async def test_words_after_the_end(tmp_path: Path) -> None:
    tasks = Tasks()

    async def later(channel: ProjectChannel) -> None:
        await asyncio.sleep(0.1)
        await channel.progress(1)

    async def execute(channel: ProjectChannel) -> None:
        tasks.start(later(channel))

    said = await caught(tmp_path, Made(execute))
    assert said == "late: the run of 'work' has ended, but still calls progress()"
    await asyncio.gather(*tasks.all, return_exceptions=True)


async def test_words_that_nobody_awaits(tmp_path: Path) -> None:
    tasks = Tasks()

    async def execute(channel: ProjectChannel) -> None:
        for _ in range(100):
            tasks.start(channel.output("flood\n"))
        await asyncio.gather(*tasks.all)
        tasks.all.clear()

    said = await caught(tmp_path, Made(execute))
    assert said == "backpressure: the run of 'work' has 100 calls wait at once"
    await asyncio.gather(*tasks.all, return_exceptions=True)


async def test_words_that_are_given_up(tmp_path: Path) -> None:
    async def execute(channel: ProjectChannel) -> None:
        try:
            await asyncio.wait_for(channel.output("now or never\n"), 0.05)
        except TimeoutError:
            await asyncio.sleep(60)

    said = await caught(tmp_path, Made(execute))
    assert said == "backpressure: the run of 'work' gives up waiting for room and loses its words"


async def test_an_end_before_the_words(tmp_path: Path) -> None:
    tasks = Tasks()

    async def execute(channel: ProjectChannel) -> None:
        tasks.start(channel.output("last words\n"))
        await asyncio.sleep(0.05)

    said = await caught(tmp_path, Made(execute))
    assert said == "backpressure: the run of 'work' ends while its words still wait for room"
    await asyncio.gather(*tasks.all, return_exceptions=True)


@pytest.mark.parametrize("result", [object(), "x" * 25_000, {"at": "\ud800"}])
async def test_a_result_that_is_no_json(tmp_path: Path, result: object) -> None:
    async def execute(channel: ProjectChannel) -> object:
        return result

    said = await caught(tmp_path, Made(execute))
    assert said.startswith("json: the run of 'work' returns no JSON: the result ")


async def test_data_that_is_no_json(tmp_path: Path) -> None:
    async def execute(channel: ProjectChannel) -> None:
        await channel.event("thing", object())

    said = await caught(tmp_path, Made(execute))
    assert said.startswith("json: the run of 'work' says what is no JSON: the event's data ")


async def test_a_blocked_loop(tmp_path: Path) -> None:
    async def execute(channel: ProjectChannel) -> None:
        time.sleep(1.2)  # noqa: ASYNC251  # this is the offence

    said = await caught(tmp_path, Made(execute))
    assert said.startswith("loop: the run of 'work' blocks the event loop for 1.")


async def test_a_blocked_loop_in_workflows(tmp_path: Path) -> None:
    async def workflows() -> list[Workflow]:
        time.sleep(1.2)  # noqa: ASYNC251  # this is the offence
        return [Workflow("work")]

    said = await caught(tmp_path, Made(workflows=workflows))
    assert said.startswith("loop: workflows() blocks the event loop for 1.")


async def test_a_task_left_behind(tmp_path: Path) -> None:
    tasks = Tasks()

    async def execute(channel: ProjectChannel) -> None:
        tasks.start(asyncio.sleep(60))

    said = await caught(tmp_path, Made(execute))
    assert said.startswith("leftovers: the run of 'work' has ended, but there is still the task ")
    assert "(sleep)" in said
    for task in tasks.all:
        task.cancel()
    await asyncio.gather(*tasks.all, return_exceptions=True)


async def test_a_thread_left_behind(tmp_path: Path) -> None:
    done = threading.Event()

    async def execute(channel: ProjectChannel) -> None:
        threading.Thread(target=done.wait, name="forgotten").start()

    said = await caught(tmp_path, Made(execute))
    done.set()
    assert said == (
        "leftovers: the run of 'work' has ended, but there is still the thread forgotten"
    )


async def test_a_thread_of_the_loops_pool_left_behind(tmp_path: Path) -> None:
    done = threading.Event()

    async def execute(channel: ProjectChannel) -> None:
        asyncio.get_running_loop().run_in_executor(None, done.wait)

    said = await caught(tmp_path, Made(execute))
    done.set()
    assert "there is still the thread asyncio_" in said


async def test_an_idle_thread_of_the_loops_pool_is_no_leftover(tmp_path: Path) -> None:
    async def execute(channel: ProjectChannel) -> None:
        await asyncio.to_thread(time.monotonic)

    await check_executor(lambda: Made(execute), tmp_path)


def ends(pid: int) -> bool:
    """Wait for a process that is no child of ours."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 5)[0])
    finally:
        os.close(handle)


def start_orphan(command: str) -> None:
    subprocess.run(["setsid", "sh", "-c", command], check=True)


def start_child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLEEPER])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
@pytest.mark.parametrize("orphan", [False, True])
async def test_a_process_left_behind(tmp_path: Path, orphan: bool) -> None:
    children: list[subprocess.Popen[bytes]] = []
    pids = tmp_path / "pids"
    # An orphan's parent is init, and it has a session of its own: only its environment tells.
    through = f"({sys.executable} -c '{SLEEPER}' & echo $! >>{pids})"

    async def execute(channel: ProjectChannel) -> None:
        if orphan:
            start_orphan(through)
        else:
            child = start_child()
            children.append(child)
            with pids.open("a") as file:
                file.write(f"{child.pid}\n")

    said = await caught(tmp_path, Made(execute))
    for child in children[1:]:
        child.wait(5)
    assert said.startswith("leftovers: the run of 'work' has ended, but there is still the process")
    assert "time.sleep(60)" in said
    first, *rest = [int(pid) for pid in pids.read_text().split()]
    # What the first run left may have been equipment; the later ones' was ended when found.
    assert rest
    assert all(ends(pid) for pid in rest)
    os.kill(first, 9)
    for child in children:
        child.wait(5)


async def test_equipment_is_the_executors_until_close(tmp_path: Path) -> None:
    class Equipped:
        api_version = 1

        def __init__(self, *, puts_away: bool) -> None:
            self._puts_away = puts_away
            self._pump: asyncio.Task[None] | None = None

        async def workflows(self, project: Project) -> Sequence[Workflow]:
            return [Workflow("work")]

        async def execute(self, run: Run, channel: ProjectChannel) -> object:
            if self._pump is None:
                self._pump = asyncio.create_task(asyncio.sleep(60), name="pump")
            return None

        async def close(self) -> None:
            if self._pump and self._puts_away:
                self._pump.cancel()

    await check_executor(lambda: Equipped(puts_away=True), tmp_path)
    said = await caught(tmp_path, Equipped(puts_away=False))
    assert said == "leftovers: after close() there is still the task pump (sleep)"


async def hangs() -> None:
    await asyncio.sleep(60)


async def raises() -> None:
    raise ValueError("at the end")


@pytest.mark.parametrize(
    ("close", "reason"),
    [
        (hangs, "close() takes more than 0.5 s"),
        (raises, "close() raises ValueError('at the end')"),
        (lambda: None, "close() is no coroutine: write `async def close`"),
    ],
)
async def test_close(tmp_path: Path, close: Callable[[], Any], reason: str) -> None:
    assert await caught(tmp_path, Made(close=close)) == f"close: {reason}"


async def test_nothing_to_run(tmp_path: Path) -> None:
    async def demanding() -> list[Workflow]:
        return [Workflow("work", params=[Param("what")])]

    with pytest.raises(ValueError, match="no workflow runs without parameters"):
        await check_executor(lambda: Made(workflows=demanding), tmp_path)


async def test_children_are_found_without_proc_too() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", SLEEPER)
    try:
        assert child.pid in descendants(os.getpid(), ask_ps())
    finally:
        child.kill()
        await child.wait()
