"""`check_executor`: what every executor owes the server and the people who watch it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from attrs import frozen

from aosui.errors import ExecutorError, NotSerialisable
from aosui.executors import API_VERSION, Executor, IncompleteWorkflows
from aosui.protocol import MAX_RESULT_BYTES, encode_data
from aosui.testing.leftovers import Census, Marked
from aosui.testing.recording import Answers, RecordingChannel
from aosui.values import Project, Run, Workflow

__all__ = ["check_executor"]

MAX_WAITING = 64
"""Calls that may wait for room at once: with more, the executor does not await its own words."""
FIRST_WORD_SECONDS = 1.0
HOLD_SECONDS = 0.3
BLOCKED_SECONDS = 1.0
BEAT_SECONDS = 0.05


async def check_executor(
    factory: Callable[[], Executor],
    root: Path | str,
    *,
    runs: Sequence[tuple[str, Mapping[str, Any]]] | None = None,
    answers: Answers | None = None,
    timeout: float = 10.0,
    grace: float = 5.0,
) -> None:
    """
    Check that an executor keeps the rules; raises AssertionError, which names the broken one.

    Each of `runs`, (workflow, params), is run in the project at `root` four times: to its end; with
    an event log that is full at first; cancelled at its first word; cancelled while it waits for
    room. By default they are all workflows whose parameters have defaults. `answers` go to what is
    asked, by prompt id. A run of more than `timeout` seconds is cancelled, which is an end too.
    `grace` is how many seconds `workflows()`, a cancel and `close()` may take; a server gives 5.

    The rules: version, workflows, end (exactly one, and no accident), json, late (nothing is said
    after the end), backpressure, cancel, loop (never blocked), leftovers (no task, thread or
    process stays), close. What a run leaves behind is ended when it is found.
    """
    with Marked() as marked:
        before = marked.census()
        suite = _Suite(factory(), Path(root), answers or {}, timeout, grace, marked)
        try:
            suite.check_version()
            for workflow, params in _choose(await suite.list_workflows(), runs):
                await suite.check_workflow(workflow, params)
            await suite.close(before)
        finally:
            suite.abandon()


class _Broken(AssertionError):
    """A rule is broken."""


@frozen
class _End:
    """How a run ended: with a result, or with an error."""

    result: object = None
    error: BaseException | None = None


class _Attempt:
    """One run that goes on."""

    def __init__(self, executor: Executor, run: Run, channel: RecordingChannel) -> None:
        self.run = run
        self.channel = channel
        self._task = asyncio.create_task(self._execute(executor), name=f"run of {run.workflow}")

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def end(self) -> _End:
        """How the run ended, once it has."""
        return self._task.result()

    async def first_word(self) -> None:
        """Wait until the executor says, asks or waits for anything, or ends; a second at most."""
        channel = self.channel
        with contextlib.suppress(TimeoutError):
            await channel.until(lambda: channel.begun or channel.ended, timeout=FIRST_WORD_SECONDS)

    async def wait(self, seconds: float) -> None:
        await asyncio.wait({self._task}, timeout=seconds)

    def cancel(self) -> None:
        self._task.cancel()

    def broken(self, rule: str, how: str, cause: BaseException | None = None) -> NoReturn:
        raise _Broken(f"{rule}: the run of {self.run.workflow!r} {how}") from cause

    async def _execute(self, executor: Executor) -> _End:
        # All that is raised is caught here: out of a task, SystemExit would end the event loop.
        try:
            return _End(await _awaited(executor.execute(self.run, self.channel), "end", "execute"))
        except BaseException as error:
            return _End(error=error)
        finally:
            self.channel.end()


class _Pulse:
    """The longest time for which the event loop did not turn."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._beat(asyncio.get_running_loop().time())

    def stop(self) -> None:
        self._next.cancel()

    def _beat(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self.longest = max(self.longest, loop.time() - due)
        due = loop.time() + BEAT_SECONDS
        self._next = loop.call_at(due, self._beat, due)


class _Suite:
    """The rules, for one executor."""

    def __init__(
        self,
        executor: Executor,
        root: Path,
        answers: Answers,
        timeout: float,
        grace: float,
        marked: Marked,
    ) -> None:
        self._executor = executor
        self._root = root
        self._answers = answers
        self._timeout = timeout
        self._grace = grace
        self._marked = marked
        self._attempts: list[_Attempt] = []
        self._pulse = _Pulse()

    def check_version(self) -> None:
        version = getattr(self._executor, "api_version", None)
        if version != API_VERSION:
            raise _Broken(f"version: the executor says api_version = {version}, not {API_VERSION}")

    async def list_workflows(self) -> list[Workflow]:
        project = Project("project", self._root.name, self._root)
        asked = _awaited(self._executor.workflows(project), "workflows", "workflows")
        try:
            listed: Any = await asyncio.wait_for(asked, self._grace)
        except TimeoutError:
            raise _Broken(f"workflows: workflows() takes more than {self._grace:g} s") from None
        except IncompleteWorkflows as error:
            listed = error.workflows
        except _Broken:
            raise
        except Exception as error:
            raise _Broken(f"workflows: workflows() raises {error!r}") from error
        if self._pulse.longest > BLOCKED_SECONDS:
            raise _Broken(
                f"loop: workflows() blocks the event loop for {self._pulse.longest:.1f} s"
            )
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            raise _Broken(f"workflows: workflows() returns {listed!r}, no sequence of Workflow")
        for workflow in listed:
            if not isinstance(workflow, Workflow):
                raise _Broken(f"workflows: workflows() lists {workflow!r}, which is no Workflow")
        names = [workflow.name for workflow in listed]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise _Broken(f"workflows: workflows() lists {twice[0]!r} twice")
        return list(listed)

    async def check_workflow(self, workflow: str, params: Mapping[str, Any]) -> None:
        await self._run_to_the_end(workflow, params)
        # What the first run leaves may be equipment of the executor's, which close() ends; what
        # the later ones leave besides is not.
        equipped = self._marked.census()
        await self._run_with_a_full_log(workflow, params, equipped)
        await self._run_and_cancel(workflow, params, equipped, full=False)
        await self._run_and_cancel(workflow, params, equipped, full=True)

    async def close(self, before: Census) -> None:
        close = getattr(self._executor, "close", None)
        if close is not None:
            try:
                await asyncio.wait_for(_awaited(close(), "close", "close"), self._grace)
            except TimeoutError:
                raise _Broken(f"close: close() takes more than {self._grace:g} s") from None
            except _Broken:
                raise
            except Exception as error:
                raise _Broken(f"close: close() raises {error!r}") from error
        left = await self._marked.since(before)
        left.end()
        self._nothing_late()
        if left:
            raise _Broken(f"leftovers: after close() there is still {left.words}")

    def abandon(self) -> None:
        """Let go of everything, however far the suite came."""
        self._pulse.stop()
        for attempt in self._attempts:
            attempt.cancel()

    async def _run_to_the_end(self, workflow: str, params: Mapping[str, Any]) -> None:
        await self._finish(self._start(workflow, params))

    async def _run_with_a_full_log(
        self, workflow: str, params: Mapping[str, Any], before: Census
    ) -> None:
        attempt = self._start(workflow, params, full=True)
        channel = attempt.channel
        await attempt.first_word()
        if channel.waiting:
            await attempt.wait(HOLD_SECONDS)
            if channel.waiting > MAX_WAITING:
                attempt.broken("backpressure", f"has {channel.waiting} calls wait at once")
            if channel.given_up:
                attempt.broken("backpressure", "gives up waiting for room and loses its words")
            if attempt.ended:
                attempt.broken("backpressure", "ends while its words still wait for room")
        channel.drain()
        await self._finish(attempt)
        await self._nothing_left(attempt, before)

    async def _run_and_cancel(
        self, workflow: str, params: Mapping[str, Any], before: Census, *, full: bool
    ) -> None:
        attempt = self._start(workflow, params, full=full, answered=False)
        await attempt.first_word()
        await self._cancel(attempt)
        await self._nothing_left(attempt, before)

    def _start(
        self,
        workflow: str,
        params: Mapping[str, Any],
        *,
        full: bool = False,
        answered: bool = True,
    ) -> _Attempt:
        run = Run(f"run-{len(self._attempts) + 1}", workflow, dict(params))
        channel = RecordingChannel(
            root=self._root, answers=self._answers if answered else None, run_id=run.id
        )
        if full:
            channel.fill()
        self._pulse.longest = 0.0
        attempt = _Attempt(self._executor, run, channel)
        self._attempts.append(attempt)
        return attempt

    async def _finish(self, attempt: _Attempt) -> None:
        """Wait for the end, and judge it."""
        await attempt.wait(self._timeout)
        if not attempt.ended:
            await self._cancel(attempt)
            return
        self._judge(attempt)
        if isinstance(attempt.end.error, asyncio.CancelledError):
            attempt.broken("end", "raises CancelledError, which nobody asked for")

    async def _cancel(self, attempt: _Attempt) -> None:
        """Cancel, as a server does, and judge the end."""
        attempt.cancel()
        await attempt.wait(self._grace)
        if not attempt.ended:
            attempt.broken("cancel", f"goes on {self._grace:g} s after it was cancelled")
        self._judge(attempt)

    def _judge(self, attempt: _Attempt) -> None:
        if self._pulse.longest > BLOCKED_SECONDS:
            attempt.broken(
                "loop", f"blocks the event loop for {self._pulse.longest:.1f} s: use run_blocking()"
            )
        if unanswered := attempt.channel.unanswered:
            attempt.broken("end", f"asks {unanswered[0]!r}: pass answers={{...}}")
        match attempt.end.error:
            case None:
                try:
                    encode_data(attempt.end.result, MAX_RESULT_BYTES, what="the result")
                except NotSerialisable as error:
                    attempt.broken("json", f"returns no JSON: {error}", error)
            case NotSerialisable() as error:
                attempt.broken("json", f"says what is no JSON: {error}", error)
            case _Broken() as error:
                raise error
            case ExecutorError() | asyncio.CancelledError():
                pass
            case error:
                attempt.broken("end", f"fails with {error!r}, not with an ExecutorError", error)

    async def _nothing_left(self, attempt: _Attempt, before: Census) -> None:
        left = await self._marked.since(before)
        left.end()
        self._nothing_late()
        if left:
            attempt.broken("leftovers", f"has ended, but there is still {left.words}")

    def _nothing_late(self) -> None:
        for attempt in self._attempts:
            if late := attempt.channel.late:
                attempt.broken("late", f"has ended, but still calls {late[0]}()")


def _choose(
    workflows: Sequence[Workflow], runs: Sequence[tuple[str, Mapping[str, Any]]] | None
) -> list[tuple[str, dict[str, Any]]]:
    """Fill in defaults; ValueError where the caller asks for what the executor has not."""
    if runs is None:
        runs = [
            (workflow.name, {})
            for workflow in workflows
            if not any(param.required for param in workflow.params)
        ]
        if not runs:
            raise ValueError("no workflow runs without parameters: pass runs=[(name, params)]")
    return [(name, _fill_in(workflows, name, given)) for name, given in runs]


def _fill_in(workflows: Sequence[Workflow], name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    workflow = next((workflow for workflow in workflows if workflow.name == name), None)
    if workflow is None:
        names = ", ".join(workflow.name for workflow in workflows)
        raise ValueError(f"there is no workflow {name!r} among {names or 'none'}")
    if unknown := sorted(given.keys() - {param.name for param in workflow.params}):
        raise ValueError(f"workflow {name!r} has no parameter {unknown[0]!r}")
    params = {}
    for param in workflow.params:
        if param.name not in given:
            if param.required:
                raise ValueError(f"workflow {name!r} needs the parameter {param.name!r}")
            params[param.name] = param.default
        elif wrong := param.problem(given[param.name]):
            raise ValueError(f"workflow {name!r}: {param.name} {wrong}")
        else:
            params[param.name] = given[param.name]
    return params


async def _awaited(value: Any, rule: str, method: str) -> Any:
    if not inspect.isawaitable(value):
        raise _Broken(f"{rule}: {method}() is no coroutine: write `async def {method}`")
    return await value
