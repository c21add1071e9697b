"""What `test_executor_both_ways.py` runs, in this process and in one of its own."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aosui import (
    REQUIRED,
    ChannelClosed,
    ExecutorError,
    LimitExceeded,
    NotSerialisable,
    Option,
    Param,
    Project,
    ProjectChannel,
    Prompt,
    Run,
    Workflow,
)
from aosui.executors import IncompleteWorkflows

EVERYTHING = Workflow(
    "everything",
    "All kinds",
    "of parameters",
    [
        Param("s", "string", REQUIRED, ("a", "b"), "one of two"),
        Param("t", "text", "long\ntext"),
        Param("i", "integer", 3, (1, 2, 3)),
        Param("n", "number", 1.0),
        Param("b", "boolean", None),
        Param("secret", secret=True, default=""),
    ],
    timeout=30.5,
)
PATH = [Param("path", default="")]


class Behaviours:
    """A workflow is the method of its name."""

    api_version = 1

    def __init__(self, closed: str = "") -> None:
        self._closed = closed
        self._tasks: set[asyncio.Task[None]] = set()

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        names = [name for name in vars(Behaviours) if name.startswith("do_")]
        return [
            EVERYTHING,
            *(
                Workflow(
                    name[3:], params=PATH, timeout=0.2 if name == "do_exceed_timeout" else None
                )
                for name in names
            ),
        ]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        if run.workflow == "everything":
            return {
                "params": dict(run.params),
                "id": run.id == channel.run_id,
                "root": str(channel.project.root),
                "project": channel.project.name,
            }
        return await getattr(self, f"do_{run.workflow}")(run, channel)

    async def close(self) -> None:
        if self._closed:
            Path(self._closed).write_text("closed")

    async def do_say(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("one\n")
        await channel.output("two é\ud800\n", stream="stderr")
        await channel.progress(1, 3, message="first")
        await channel.progress(2.5)
        await channel.event("made", {"set": {1}, "at": datetime.date(2020, 1, 2), "nan": 0 / 1e9})
        await channel.output("three", stream="log")
        return [1, 2.5, None, {"at": datetime.date(2020, 1, 2)}]

    async def do_split(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("0123456789" * 1_000_000)
        return None

    async def do_ask(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("before")
        return await channel.ask(
            Prompt("name", "Who?", "header"),
            Prompt("many", "Which?", options=[Option("a", "A", "first"), "b"], multiple=True),
            Prompt("one", "One?", options=["x"], allow_other=False),
        )

    async def do_stop_asking(self, run: Run, channel: ProjectChannel) -> object:
        asking = asyncio.ensure_future(channel.ask(Prompt("a", "Anybody?")))
        await anext(channel.inputs())
        asking.cancel()
        await asyncio.wait([asking])
        return asking.cancelled()

    async def do_ask_too_much(self, run: Run, channel: ProjectChannel) -> object:
        refused = 0
        for text in ("x" * 20_000, "\n" * 6_500):
            try:
                await channel.ask(Prompt("a", text))
            except LimitExceeded as error:
                refused += error.details == {"limit": "questions"}
        first = asyncio.ensure_future(channel.ask(Prompt("a", "1" * 7_000)))
        await asyncio.sleep(0)
        try:
            await channel.ask(Prompt("a", "2" * 7_000))
        except LimitExceeded as error:
            refused += error.details == {"limit": "questions"}
        await channel.output("refused\n")
        return refused, await first

    async def do_echo(self, run: Run, channel: ProjectChannel) -> object:
        heard = []
        async for text in channel.inputs():
            await channel.output(f"heard {text}\n")
            heard.append(text)
            if text == "stop":
                break
        return heard

    async def do_listen_in_turns(self, run: Run, channel: ProjectChannel) -> object:
        waiting = asyncio.ensure_future(anext(channel.inputs()))
        await asyncio.sleep(0)
        waiting.cancel()
        await channel.output("listening\n")
        return [await anext(channel.inputs()), await anext(channel.inputs())]

    async def do_checkpoint(self, run: Run, channel: ProjectChannel) -> object:
        if run.checkpoint is None:
            await channel.checkpoint({"step": 1})
            await channel.checkpoint({"step": [2, {"deep": True}]})
            raise ExecutorError("try again", code="halfway", retryable=True, details={"n": 1})
        return {"found": run.checkpoint, "attempt": run.attempt, "of": run.retry_of}

    async def do_raise(self, run: Run, channel: ProjectChannel) -> object:
        raise ValueError("no such thing")

    async def do_exit(self, run: Run, channel: ProjectChannel) -> object:
        sys.exit("enough")

    async def do_interrupt(self, run: Run, channel: ProjectChannel) -> object:
        raise KeyboardInterrupt

    async def do_raise_base(self, run: Run, channel: ProjectChannel) -> object:
        raise BaseException("base")

    async def do_cancel_itself(self, run: Run, channel: ProjectChannel) -> object:
        raise asyncio.CancelledError

    async def do_let_limit_pass(self, run: Run, channel: ProjectChannel) -> object:
        return await channel.ask(Prompt("a", "x" * 20_000))

    async def do_return_an_object(self, run: Run, channel: ProjectChannel) -> object:
        return object()

    async def do_return_too_much(self, run: Run, channel: ProjectChannel) -> object:
        return "x" * 200_000_000

    async def do_say_no_json(self, run: Run, channel: ProjectChannel) -> object:
        refused = []
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        for data in (object(), "x" * 10_000_000, {1: object()}, deep):
            try:
                await channel.event("bad", data)
            except NotSerialisable as error:
                refused.append(error.code)
        try:
            await channel.checkpoint("x" * 20_000)
        except NotSerialisable as error:
            refused.append(error.code)
        return refused

    async def do_wait(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("waiting\n")
        await asyncio.Event().wait()
        return None

    async def do_tidy_up(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("waiting\n")
        cancelled = 0
        while cancelled < 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            cancelled += 1
        await channel.output("tidied up\n")
        return cancelled

    async def do_fail_when_cancelled(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("waiting\n")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ExecutorError("could not tidy up", code="untidy") from None
        return None

    async def do_ignore_cancel(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("waiting\n")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()  # until the event loop ends
        return None

    async def do_exceed_timeout(self, run: Run, channel: ProjectChannel) -> object:
        await asyncio.Event().wait()
        return None

    async def do_flood(self, run: Run, channel: ProjectChannel) -> object:
        path = Path(run.params["path"])
        for number in range(20_000):
            await channel.output(f"{number} {'.' * 100}\n")
        path.write_text("said it all")
        return "flooded"

    async def do_speak_late(self, run: Run, channel: ProjectChannel) -> object:
        async def later() -> None:
            said: list[str] = []
            while not said or said[-1] == "nothing":
                await asyncio.sleep(0.01)
                try:
                    await channel.output("late\n")
                    said.append("nothing")
                except ChannelClosed:
                    said.append("ChannelClosed")
            said += [text async for text in channel.inputs()]
            Path(run.params["path"]).write_text(said[-1])

        task = asyncio.create_task(later())
        self._tasks.add(task)
        return None

    # -- what only an isolated executor may do

    async def do_tell_pid(self, run: Run, channel: ProjectChannel) -> object:
        return os.getpid()

    async def do_tell_environment(self, run: Run, channel: ProjectChannel) -> object:
        return {name: value for name, value in os.environ.items() if name.startswith("AOSUI")}

    async def do_leave(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("last words\n")
        os._exit(3)

    async def do_kill_itself(self, run: Run, channel: ProjectChannel) -> object:
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    async def do_block(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("blocking\n")
        await asyncio.sleep(0.1)
        time.sleep(3600)  # noqa: ASYNC251
        return None

    async def do_print_a_flood(self, run: Run, channel: ProjectChannel) -> object:
        print("first printed line")
        for _ in range(200):
            os.write(1, b"garbage\x00\xff\n" * 100_000)
        return "printed"

    async def do_write_garbage_everywhere(self, run: Run, channel: ProjectChannel) -> object:
        await channel.output("garbage\n")
        for _ in range(200):
            for descriptor in range(3, 64):
                try:
                    os.set_blocking(descriptor, True)
                    os.write(descriptor, b"\xff" * 1_000_000)
                except OSError:
                    pass
        return None

    async def do_have_stubborn_children(self, run: Run, channel: ProjectChannel) -> object:
        stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); "
        children = []
        for number in range(24):
            child = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-S", "-c", stubborn + "time.sleep(3600)"],
                stdout=subprocess.PIPE,
                start_new_session=number % 2 == 0,
            )
            children.append(child)
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        await channel.event("children", [child.pid for child in children])
        await asyncio.Event().wait()
        return None


class Lister:
    """An executor whose `workflows()` is as its option says."""

    def __init__(self, *, kind: str) -> None:
        self._kind = kind

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        match self._kind:
            case "raises":
                raise ValueError("cannot look")
            case "says why":
                raise ExecutorError("there is no Makefile")
            case "is incomplete":
                raise IncompleteWorkflows("one is wrong", [Workflow("good")])
            case "lists strings":
                return ["good"]  # type: ignore[list-item]
            case "lists twice":
                return [Workflow("a"), Workflow("a")]
            case "exits":
                sys.exit(1)
            case "hangs":
                await asyncio.Event().wait()
        return []

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        return run.workflow
