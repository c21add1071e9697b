"""`aosui run` and `aosui watch`: follow a project from the terminal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aosui.cli.questions import LineReader, ask
from aosui.cli.safe import plain
from aosui.cli.serve import Failure, leave
from aosui.cli.terminal import Terminal
from aosui.client import Api, ProjectSocket, State, connect
from aosui.client.fold import Frame
from aosui.errors import AosuiError, ConflictError, OutsideRoot, RequestError
from aosui.events import FINAL_STATES

__all__ = ["EXIT_CODES", "find_workflow", "open_project", "read_params", "run", "watch"]

EXIT_CODES = {"succeeded": 0, "failed": 1, "interrupted": 1, "cancelled": 130}


async def open_project(api: Api, directory: Path) -> str:
    """Open a real path in the server, if it is not open yet; returns the project's id."""
    root = str(directory)
    projects, _ = await api.projects()
    for project in projects or ():
        if project["root"] == root:
            return str(project["projectId"])
    try:
        project = await api.call("POST", "projects", body={"root": root})
    except OutsideRoot:
        raise Failure(
            f"the running server may not open {root}: stop it, and start it with "
            f"`aosui serve {root}` or with a --root above it"
        ) from None
    return str(project["projectId"])


def find_workflow(listing: Frame, name: str) -> Frame:
    """
    Find a workflow by `<executor>:<name>`, or by the end of it after a colon where that is clear.

    `listing` is what the server says of the project; raises `Failure`.
    """
    workflows: Sequence[Frame] = listing["workflows"]
    found = [one for one in workflows if f":{one['workflow']}".endswith(f":{name}")]
    exact = [workflow for workflow in found if workflow["workflow"] == name] or found
    if len(exact) == 1:
        return exact[0]
    if exact:
        names = " or ".join(workflow["workflow"] for workflow in exact)
        raise Failure(f"{name} is not clear: say {names}")
    names = "".join(f"\n  {workflow['workflow']}" for workflow in workflows)
    reasons = "".join(
        f"\n{error['executor']}: {plain(_message(error['error']))}" for error in listing["errors"]
    )
    there_are = f"; there are:{names}" if names else ", nor any other"
    raise Failure(f"the project has no workflow {name}{there_are}{reasons}")


def read_params(workflow: Frame, given: Sequence[str]) -> dict[str, Any]:
    """Make params of `KEY=VALUE` texts, each of its param's type; raises `Failure`."""
    known = {param["name"]: param for param in workflow["params"]}
    params: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise Failure(f"-p {text}: say KEY=VALUE")
        if name not in known:
            names = ", ".join(known) or "none"
            raise Failure(f"{workflow['workflow']} has no param {name}; it has {names}")
        params[name] = _value(known[name], value)
    return params


async def run(api: Api, directory: Path, name: str, given: Sequence[str], *, own: bool) -> int:
    """
    Start a run and follow it to its end; returns the exit code.

    `own` says that the server ends with this command. Raises `Failure` when it cannot begin.
    """
    project_id = await open_project(api, directory)
    workflow = find_workflow(await api.call("GET", "projects", project_id, "workflows"), name)
    params = read_params(workflow, given)
    terminal = Terminal()
    async with _connect(api, project_id, terminal) as socket:
        started = await socket.start(workflow["workflow"], params)
        with terminal:
            follower = _RunFollower(socket, terminal, started["runId"], own=own)
            return await follower.follow()


async def watch(api: Api, directory: Path) -> None:
    """Show everything that happens in a project, until Ctrl-C cancels it."""
    watching = asyncio.current_task()
    assert watching is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, watching.cancel)
    project_id = await open_project(api, directory)
    with Terminal(named=True) as terminal:
        async with _connect(api, project_id, terminal) as socket:
            terminal.say(f"watching {plain(socket.snapshot['project']['name'])}", "bold")
            asked: set[str] = set()
            _show_all(terminal, socket.snapshot, asked)
            async for event in socket:
                match event["type"]:
                    case "gap" | "reset":
                        terminal.say(f"some events were missed ({event['reason']})", "yellow")
                        _show_all(terminal, event["snapshot"], asked)
                    case "run.updated":
                        _show(terminal, event["run"], asked)
                    case "run.output":
                        terminal.output(event)
                    case "run.event":
                        terminal.event(event)
                    case "project.event":
                        terminal.say(f"{plain(event['name'])}", "dim")


def _show_all(terminal: Terminal, snapshot: Frame, asked: set[str]) -> None:
    for one in snapshot["runs"]:
        _show(terminal, one, asked)
    for tail in snapshot["outputTails"].values():
        for event in tail:
            terminal.output(event)


def _show(terminal: Terminal, one: Frame, asked: set[str]) -> None:
    terminal.status(one)
    for question in one["questions"]:
        if question["questionId"] not in asked:
            asked.add(question["questionId"])
            texts = " / ".join(plain(prompt["text"]) for prompt in question["prompts"])
            terminal.say(f"? {plain(one['title'])} asks: {texts} (answer on the page)", "bold")


class _RunFollower:
    """Follows one run: shows it, asks its questions, cancels it on Ctrl-C."""

    def __init__(
        self, socket: ProjectSocket, terminal: Terminal, run_id: str, *, own: bool
    ) -> None:
        self._socket = socket
        self._terminal = terminal
        self._run_id = run_id
        self._own = own
        self._lines = LineReader()
        self._asking: asyncio.Task[None] | None = None
        self._asked: str | None = None
        self._cancelling: asyncio.Task[None] | None = None

    async def follow(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        try:
            async for event in self._socket:
                final = await self._take(event)
                if final is not None:
                    return EXIT_CODES[final["state"]]
        finally:
            await _ended(self._asking)
            await _ended(self._cancelling)
        raise AosuiError("the connection ended before the run")

    async def _take(self, event: Frame) -> Frame | None:
        """Show an event; returns the run when it has ended."""
        match event["type"]:
            case "run.updated" if event["run"]["runId"] == self._run_id:
                return await self._status(event["run"])
            case "run.output" if event["runId"] == self._run_id:
                self._terminal.output(event)
            case "run.event" if event["runId"] == self._run_id:
                self._terminal.event(event)
            case "gap" | "reset":
                self._terminal.say(f"some output was missed ({event['reason']})", "yellow")
                for one in event["snapshot"]["runs"]:
                    if one["runId"] == self._run_id:
                        return await self._status(one)
                # No longer among the last: what became of it is asked for.
                api = self._socket.api
                return await self._status(
                    await api.call("GET", "projects", self._socket.project_id, "runs", self._run_id)
                )
        return None

    async def _status(self, one: Frame) -> Frame | None:
        await self._look_for_questions(one)
        self._terminal.status(one)
        return one if one["state"] in FINAL_STATES else None

    async def _look_for_questions(self, one: Frame) -> None:
        open_ids = [question["questionId"] for question in one["questions"]]
        if self._asked is not None and self._asked not in open_ids:
            await _ended(self._asking)
            self._asking = self._asked = None
        if self._asked is None and one["questions"]:
            question = one["questions"][0]
            self._asked = question["questionId"]
            self._asking = asyncio.create_task(self._ask(question))

    async def _ask(self, question: Frame) -> None:
        self._terminal.pause()
        try:
            while not await self._answered(question):
                pass
        finally:
            self._terminal.resume()

    async def _answered(self, question: Frame) -> bool:
        """Ask once; False when it is worth asking again."""
        answers = await ask(question, self._lines, self._terminal.say)
        if answers is None:
            self._terminal.say("nobody is here to answer: it can be answered on the page")
            return True
        try:
            await self._socket.answer(question["questionId"], answers)
        except ConflictError:
            self._terminal.say("it was answered elsewhere")
        except AosuiError as error:
            self._terminal.say(f"the answer was not taken: {error.message}", "red")
            return not isinstance(error, RequestError)
        return True

    def _interrupt(self) -> None:
        if self._cancelling is not None:
            self._terminal.pause()
            leave(130)
        more = "ends it at once" if self._own else "leaves it alone"
        self._terminal.say(f"cancelling the run; Ctrl-C again {more}", "yellow")
        self._cancelling = asyncio.create_task(self._cancel())

    async def _cancel(self) -> None:
        try:
            await self._socket.cancel(self._run_id)
        except AosuiError as error:
            self._terminal.say(f"it could not be cancelled: {error.message}", "red")


def _connect(api: Api, project_id: str, terminal: Terminal) -> ProjectSocket:
    lost = False

    def say(state: State) -> None:
        nonlocal lost
        if state == "reconnecting" and not lost:
            lost = True
            terminal.say("the connection is lost: trying again", "yellow")
        elif state == "live" and lost:
            lost = False
            terminal.say("connected again", "green")

    return connect(str(api.url), project_id, token=api.token, on_state=say)


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _message(error: Any) -> str:
    return str(error["message"] if isinstance(error, Mapping) else error)


def _value(param: Frame, text: str) -> Any:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    try:
        match param["type"]:
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return words[text.lower()]
    except (ValueError, KeyError):
        kind = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
        raise Failure(f"-p {param['name']}={text}: it must be {kind[param['type']]}") from None
    return text
