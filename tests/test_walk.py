"""
The walk through the whole system: what a user, an author and an embedder count on, each over real
sockets with a stranger's client (`websockets`), not over doubles.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import BaseTestServer, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

import aosui

from .support import BEARER, SECONDS, TOKEN, Behaviour, Frame, Gate, Scripted, eventually


async def say(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
    for number in range(run.params["lines"]):
        await channel.output(f"{channel.project.name} {number}\n")
        await channel.progress(number + 1, run.params["lines"])
        await asyncio.sleep(0)
    return {"said": run.params["lines"]}


async def ask(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
    return await channel.ask(aosui.Prompt("sure", "Are you sure?", options=["yes", "no"]))


def scripted(**behaviours: Behaviour) -> Scripted:
    """Make an executor with these workflows beside `say`."""
    executor = Scripted()
    executor.add("say", say, params=[aosui.Param("lines", type="integer", default=3)])
    for name, behaviour in behaviours.items():
        params = [aosui.Param("password", secret=True)] if name == "login" else ()
        executor.add(name, behaviour, params=params, timeout=0.05 if name == "hang" else None)
    return executor


class Site:
    """A server with some projects, and a stranger's ways to talk to it."""

    def __init__(
        self,
        server: BaseTestServer,
        session: aiohttp.ClientSession,
        registry: aosui.ProjectRegistry,
        ids: list[str],
    ) -> None:
        self.server = server
        self.session = session
        self.ids = ids
        self.registry = registry

    @asynccontextmanager
    async def viewer(self, project_id: str, **query: object) -> AsyncIterator[Viewer]:
        asked = {"projectId": project_id, **{name: str(value) for name, value in query.items()}}
        url = self.server.make_url("/ws").with_query(asked)
        async with connect(
            str(url).replace("http", "ws", 1),
            subprotocols=[Subprotocol("aosui.v1")],
            additional_headers=BEARER,
            max_size=None,
        ) as socket:
            yield Viewer(socket, project_id)

    async def http(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = self.server.make_url(path)
        async with self.session.request(method, url, json=body) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def start(self, project_id: str, workflow: str, **params: object) -> Frame:
        status, reply = await self.http(
            "POST",
            f"/api/projects/{project_id}/runs",
            {"workflow": f"test:{workflow}", "params": params},
        )
        assert status == 202, reply
        assert isinstance(reply, dict)
        return reply

    async def ended(self, project_id: str, run_id: str) -> Frame:
        """Wait for a run's end; returns its last status."""
        async with self.viewer(project_id) as viewer:
            snapshot = (await viewer.opening())["snapshot"]
            for run in snapshot["runs"]:
                if run["runId"] == run_id and run["endedAt"] is not None:
                    return dict(run)
            last = await viewer.until(
                lambda f: (
                    f["type"] == "run.updated"
                    and f["run"]["runId"] == run_id
                    and f["run"]["endedAt"] is not None
                )
            )
            return dict(last["run"])


class Viewer:
    """One socket of a stranger's."""

    def __init__(self, socket: ClientConnection, project_id: str) -> None:
        self.socket = socket
        self.project_id = project_id
        self.texts: list[str] = []

    async def next(self) -> Frame:
        async with asyncio.timeout(SECONDS):
            text = await self.socket.recv(decode=True)
        self.texts.append(text)
        frame = json.loads(text)
        assert frame["projectId"] == self.project_id
        assert isinstance(frame, dict)
        return frame

    async def opening(self) -> dict[str, Frame]:
        """Read up to `synced`; returns the frames by type (the last of each)."""
        frames: dict[str, Frame] = {}
        while "synced" not in frames:
            frame = await self.next()
            frames[frame["type"]] = frame
        return frames

    async def until(self, found: Callable[[Frame], bool]) -> Frame:
        while True:
            frame = await self.next()
            if found(frame):
                return frame

    async def request(self, kind: str, **fields: object) -> Frame:
        request_id = str(fields.pop("id", uuid.uuid4()))
        frame = {"type": kind, "projectId": self.project_id, "id": request_id, **fields}
        await self.socket.send(json.dumps(frame))
        return await self.until(lambda f: f["type"] == "reply" and f["id"] == request_id)

    def cut(self) -> None:
        """Cut the line, without a close frame."""
        self.socket.transport.abort()

    async def closed(self) -> int:
        async with asyncio.timeout(SECONDS):
            try:
                while True:
                    self.texts.append(await self.socket.recv(decode=True))
            except ConnectionClosed:
                return self.socket.close_code or 1006


@asynccontextmanager
async def site(
    folder: Path, count: int = 2, *, executor: Scripted | None = None, **options: Any
) -> AsyncIterator[Site]:
    roots = [folder / f"project{number}" for number in range(count)]
    for root in roots:
        root.mkdir(exist_ok=True)
    app = aosui.create_app(
        token=TOKEN,
        projects=roots,
        roots=[folder],
        executors={"test": executor or scripted()},
        **options,
    )
    async with TestServer(app) as server, aiohttp.ClientSession(headers=BEARER) as session:
        registry = app[aosui.WS_REGISTRY]
        found = [registry.find(root) for root in roots]
        yield Site(
            server, session, registry, [project.id for project in found if project is not None]
        )


def is_end(frame: Frame) -> bool:
    return frame["type"] == "run.updated" and frame["run"]["endedAt"] is not None


# -- several projects, each on its own sockets


async def test_two_projects_have_two_sockets_each_bound_to_its_project(tmp_path: Path) -> None:
    async with site(tmp_path) as s, s.viewer(s.ids[0]) as one, s.viewer(s.ids[1]) as two:
        assert (await one.opening())["welcome"]["projectId"] == s.ids[0]
        assert (await two.opening())["welcome"]["projectId"] == s.ids[1]
        assert s.registry.connection_count() == 2
        assert [s.registry.connection_count(project_id) for project_id in s.ids] == [1, 1]
        refused = await one.request("run.start", projectId=s.ids[1], workflow="test:say", params={})
        assert refused["error"]["code"] == "wrongProject"


async def test_what_a_run_says_reaches_all_viewers_of_its_project_and_no_other(
    tmp_path: Path,
) -> None:
    async with (
        site(tmp_path) as s,
        s.viewer(s.ids[0]) as one,
        s.viewer(s.ids[0]) as same,
        s.viewer(s.ids[1]) as other,
    ):
        for viewer in (one, same, other):
            await viewer.opening()
            viewer.texts.clear()
        await s.start(s.ids[0], "say", lines=50)
        for viewer in (one, same):
            await viewer.until(is_end)
        assert one.texts == same.texts
        assert sum('"run.output"' in text for text in one.texts) == 50
        await s.registry.send_to_project(s.ids[1], "marker", {"n": 1})
        assert (await other.next())["type"] == "project.event"
        assert len(other.texts) == 1


async def test_closing_a_tab_leaves_nothing_behind_and_its_run_goes_on(tmp_path: Path) -> None:
    gate = Gate()
    async with site(tmp_path, executor=scripted(hold=gate)) as s:
        async with s.viewer(s.ids[0]) as viewer:
            await viewer.opening()
            reply = await viewer.request("run.start", workflow="test:hold", params={})
        await eventually(lambda: s.registry.connection_count() == 0)
        assert s.registry.connections() == []
        gate.open()
        assert (await s.ended(s.ids[0], reply["result"]["runId"]))["state"] == "succeeded"


@pytest.mark.slow
async def test_a_thousand_connections_leave_memory_and_counts_where_they_were(
    tmp_path: Path,
) -> None:
    def resident() -> int:
        gc.collect()
        pages = Path(f"/proc/{os.getpid()}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async with site(tmp_path) as s:

        async def cycle(times: int) -> None:
            for _ in range(times):
                async with s.viewer(s.ids[0]) as viewer:
                    await viewer.opening()
            await eventually(lambda: s.registry.connection_count() == 0)

        await cycle(200)
        tasks, descriptors, memory = (
            len(asyncio.all_tasks()),
            len(os.listdir("/proc/self/fd")),
            resident(),
        )
        await cycle(1000)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
        assert resident() - memory < 2 * 1024 * 1024


async def test_a_run_goes_on_while_the_user_looks_elsewhere(tmp_path: Path) -> None:
    gate = Gate()
    async with site(tmp_path, executor=scripted(hold=gate)) as s:
        async with s.viewer(s.ids[0]) as first:
            await first.opening()
            reply = await first.request("run.start", workflow="test:hold", params={})
        async with s.viewer(s.ids[1]) as second:
            await second.opening()
            gate.open()
            await eventually(lambda: not s.registry.opened(s.ids[0]).active)
        async with s.viewer(s.ids[0]) as first:
            assert (await first.next())["type"] == "welcome"
            snapshot = await first.next()
            assert snapshot["type"] == "snapshot"
            (run,) = snapshot["runs"]
            assert run["runId"] == reply["result"]["runId"]
            assert (run["state"], run["result"]) == ("succeeded", None)


# -- the line is cut


class Watcher:
    """A client that keeps its position over cuts, by the rules of the protocol and no other."""

    def __init__(self) -> None:
        self.position: dict[str, object] = {}
        self.seqs: list[int] = []
        self.output = ""
        self.runs: dict[str, Frame] = {}

    def take(self, frame: Frame) -> None:
        if frame["type"] == "welcome":
            if self.position:
                assert frame["resume"] == {
                    "recovered": True,
                    "reason": "ok",
                    "replayed": frame["seq"] - len(self.seqs),
                }
            else:
                self.position = {"since": frame["seq"], "epoch": frame["epoch"]}
        elif frame["type"] == "snapshot":
            self.runs = {run["runId"]: run for run in frame["runs"]}
        elif "seq" in frame and frame["type"] != "synced":
            self.seqs.append(frame["seq"])
            self.position["since"] = frame["seq"]
            if frame["type"] == "run.output":
                self.output += frame["text"]
            elif frame["type"] == "run.updated":
                self.runs[frame["run"]["runId"]] = frame["run"]


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(min_value=1, max_value=40), max_size=12),
    lines=st.integers(min_value=0, max_value=120),
)
def test_output_is_the_same_wherever_and_however_often_the_line_is_cut(
    cuts: list[int], lines: int
) -> None:
    async def scenario(folder: Path) -> None:
        async with site(folder, 1) as s:
            watcher = Watcher()
            async with s.viewer(s.ids[0]) as viewer:
                async with asyncio.timeout(SECONDS):
                    while not watcher.position:
                        watcher.take(await viewer.next())
            started = await s.start(s.ids[0], "say", lines=lines)
            left = list(cuts)
            done = False
            while not done:
                async with s.viewer(s.ids[0], **watcher.position) as viewer:
                    frames = left.pop(0) if left else sys.maxsize
                    while frames and not done:
                        frame = await viewer.next()
                        watcher.take(frame)
                        frames -= 1
                        done = is_end(frame)
                    viewer.cut()
            assert watcher.output == "".join(f"project0 {n}\n" for n in range(lines))
            assert watcher.seqs == list(range(1, len(watcher.seqs) + 1))
            assert watcher.runs[started["runId"]]["state"] == "succeeded"

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


# -- lazy connections


async def test_ten_projects_of_which_three_run_hold_exactly_three_sockets(tmp_path: Path) -> None:
    gate = Gate()
    executor = scripted(hold=gate)
    async with site(tmp_path, 10, executor=executor, dormant_after=0.3) as s:
        viewers = []
        for project_id in s.ids:
            context = s.viewer(project_id)
            viewers.append((context, await context.__aenter__()))
        for _, viewer in viewers:
            await viewer.opening()
        for project_id in s.ids[:3]:
            await s.start(project_id, "hold")
        codes = await asyncio.gather(*(viewer.closed() for _, viewer in viewers[3:]))
        assert codes == [4510] * 7
        await eventually(lambda: s.registry.connection_count() == 3)
        assert {view.project_id for view in s.registry.connections()} == set(s.ids[:3])
        gate.open()
        codes = await asyncio.gather(*(viewer.closed() for _, viewer in viewers[:3]))
        assert codes == [4510] * 3
        await eventually(lambda: s.registry.connection_count() == 0)
        for context, _ in viewers:
            await context.__aexit__(None, None, None)


async def test_a_run_of_an_idle_project_is_watched_from_the_reply_without_a_gap(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, 1) as s:
        await s.start(s.ids[0], "say", lines=2)
        await eventually(lambda: not s.registry.opened(s.ids[0]).active)
        reply = await s.start(s.ids[0], "say", lines=30)
        await eventually(lambda: not s.registry.opened(s.ids[0]).active)
        async with s.viewer(s.ids[0], since=reply["since"], epoch=reply["epoch"]) as viewer:
            welcome = await viewer.next()
            assert welcome["resume"]["recovered"] is True
            await viewer.next()
            frames = []
            while (frame := await viewer.next())["type"] != "synced":
                frames.append(frame)
        assert [frame["seq"] for frame in frames] == list(
            range(reply["since"] + 1, reply["since"] + 1 + len(frames))
        )
        assert frames[0]["run"]["state"] == "queued"
        assert frames[-1]["run"]["state"] == "succeeded"
        assert sum(frame["type"] == "run.output" for frame in frames) == 30


# -- questions and commands


async def test_a_question_asked_while_nobody_looks_is_answered_once(tmp_path: Path) -> None:
    async with site(tmp_path, 1, executor=scripted(ask=ask)) as s:
        await s.start(s.ids[0], "ask")
        await eventually(
            lambda: (
                s.registry.opened(s.ids[0]).runner.activity()["waiting"] == 1
                and s.registry.opened(s.ids[0]).hub.quiet
            )
        )
        async with s.viewer(s.ids[0]) as one, s.viewer(s.ids[0]) as two:
            (run,) = (await one.opening())["snapshot"]["runs"]
            await two.opening()
            assert run["state"] == "waiting"
            (question,) = run["questions"]
            fields = {"questionId": question["questionId"]}
            first, second = await asyncio.gather(
                one.request("question.answer", answers={"sure": "yes"}, **fields),
                two.request("question.answer", answers={"sure": "no"}, **fields),
            )
            won, lost = sorted((first, second), key=lambda reply: not reply["ok"])
            assert won["ok"] is True
            assert lost["error"]["code"] == "questionClosed"
            assert lost["error"]["details"]["outcome"] == "answered"
            winner = lost["error"]["details"]["answers"]
        last = await s.ended(s.ids[0], run["runId"])
        assert (last["state"], last["result"]) == ("succeeded", winner)


async def test_cancel_retry_secrets_and_params(tmp_path: Path) -> None:
    seen: list[str] = []

    async def login(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        seen.append(run.params["password"])
        raise aosui.ExecutorError("wrong password", code="wrongPassword", retryable=True)

    gate = Gate()
    executor = scripted(login=login, hold=gate)
    async with site(tmp_path, 2, executor=executor) as s, s.viewer(s.ids[0]) as viewer:
        await viewer.opening()
        wrong = await viewer.request(
            "run.start", workflow="test:say", params={"lines": "three", "colour": "red"}
        )
        assert wrong["error"]["code"] == "invalidParams"
        assert set(wrong["error"]["details"]["params"]) == {"lines", "colour"}

        held = await viewer.request("run.start", workflow="test:hold", params={})
        run_id = held["result"]["runId"]
        assert (await viewer.request("run.cancel", runId=run_id))["result"]["state"] == "cancelling"
        assert (await s.ended(s.ids[0], run_id))["state"] == "cancelled"
        assert (await viewer.request("run.cancel", runId=run_id))["result"]["state"] == "cancelled"

        started = await viewer.request(
            "run.start", workflow="test:login", params={"password": "tell-nobody"}
        )
        failed = await s.ended(s.ids[0], started["result"]["runId"])
        assert failed["error"]["code"] == "wrongPassword"
        assert failed["retryable"] is True
        assert failed["params"] == {"password": "•••"}
        again = await viewer.request("run.retry", runId=failed["runId"])
        assert again["error"]["code"] == "invalidParams"
        again = await viewer.request(
            "run.retry", runId=failed["runId"], params={"password": "still-tell-nobody"}
        )
        retried = await s.ended(s.ids[0], again["result"]["runId"])
        assert (retried["retryOf"], retried["attempt"]) == (failed["runId"], 2)
        assert seen == ["tell-nobody", "still-tell-nobody"]
        assert "tell-nobody" not in "".join(viewer.texts)
        _, events = await s.http("GET", f"/api/projects/{s.ids[0]}/events")
        assert "tell-nobody" not in json.dumps(events)

        async with s.viewer(s.ids[1]) as other:
            await other.opening()
            foreign = await other.request("run.cancel", runId=run_id)
            assert foreign["error"]["code"] == "runNotFound"


# -- executors that misbehave


async def test_an_executor_that_raises_exits_or_gives_no_json_fails_and_the_server_lives(
    tmp_path: Path,
) -> None:
    async def boom(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        raise RuntimeError("boom")

    async def leave(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        sys.exit(3)

    async def base(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        raise BaseException("not even an Exception")

    async def strange(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        return object()

    executor = scripted(boom=boom, leave=leave, base=base, strange=strange)
    async with site(tmp_path, 1, executor=executor) as s:
        codes = {}
        for name in ("boom", "leave", "base", "strange"):
            last = await s.ended(s.ids[0], (await s.start(s.ids[0], name))["runId"])
            assert last["state"] == "failed"
            codes[name] = last["error"]["code"]
        assert codes == {
            "boom": "executorFailed",
            "leave": "executorFailed",
            "base": "executorFailed",
            "strange": "notSerialisable",
        }
        last = await s.ended(s.ids[0], (await s.start(s.ids[0], "say"))["runId"])
        assert last["state"] == "succeeded"


async def test_an_executor_that_hangs_or_ignores_cancel_is_ended_and_hears_that_it_is_over(
    tmp_path: Path,
) -> None:
    release, heard = asyncio.Event(), asyncio.Event()

    async def hang(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        return await asyncio.Event().wait()

    async def stubborn(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        with pytest.raises(aosui.ChannelClosed):
            await channel.output("too late\n")
        heard.set()
        return None

    executor = scripted(hang=hang, stubborn=stubborn)
    limits = aosui.Limits(cancel_seconds=0.1)
    async with site(tmp_path, 1, executor=executor, limits=limits) as s:
        last = await s.ended(s.ids[0], (await s.start(s.ids[0], "hang"))["runId"])
        assert (last["state"], last["error"]["code"]) == ("failed", "executorTimeout")
        run_id = (await s.start(s.ids[0], "stubborn"))["runId"]
        await eventually(lambda: s.registry.opened(s.ids[0]).hub.quiet)
        await s.http("POST", f"/api/projects/{s.ids[0]}/runs/{run_id}/cancel", {})
        last = await s.ended(s.ids[0], run_id)
        assert (last["state"], last["error"]["code"]) == ("cancelled", "executorAbandoned")
        release.set()
        async with asyncio.timeout(SECONDS):
            await heard.wait()


async def test_a_flood_is_stored_whole_and_another_project_goes_on_beside_it(
    tmp_path: Path,
) -> None:
    count = 20_000

    async def flood(run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        for number in range(count):
            await channel.output(f"{number}\n")
        return None

    async with site(tmp_path, 2, executor=scripted(flood=flood)) as s:
        flooding = await s.start(s.ids[0], "flood")
        last = await s.ended(s.ids[1], (await s.start(s.ids[1], "say"))["runId"])
        assert last["state"] == "succeeded"
        assert (await s.ended(s.ids[0], flooding["runId"]))["state"] == "succeeded"
        said: list[str] = []
        after: int | None = 0
        while after is not None:
            _, page = await s.http(
                "GET", f"/api/projects/{s.ids[0]}/events?after={after}&runId={flooding['runId']}"
            )
            said += [event["text"] for event in page["events"] if event["type"] == "run.output"]
            after = page["next"]
        assert said == [f"{number}\n" for number in range(count)]


# -- embedded


def load_example(name: str) -> ModuleType:
    path = Path(__file__).parent.parent / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_an_application_that_exists_takes_aosui_in(tmp_path: Path) -> None:
    app = load_example("embedded").create_app([str(tmp_path)])
    ada = {"Cookie": "session=let-ada-in-please"}
    bob = {"Cookie": "session=let-bob-look-please"}
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        (project,) = app[aosui.WS_REGISTRY]
        origin = {"Origin": str(server.make_url("")).rstrip("/")}

        async def ask_for(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
            async with session.request(
                method, server.make_url(path), headers=headers, allow_redirects=False
            ) as response:
                return response.status, await response.text()

        assert (await ask_for("GET", "/", {}))[1] == f"projects: {tmp_path.name}; viewers: 0"
        status, _ = await ask_for("GET", "/aosui", {})
        assert status == 308
        assert (await ask_for("GET", "/aosui/api/projects", {}))[0] == 401
        assert (await ask_for("GET", "/aosui/api/projects", bob))[0] == 200
        path = f"/aosui/api/projects/{project.id}"
        assert (await ask_for("DELETE", path, {**bob, **origin}))[0] == 403

        url = str(server.make_url(f"/aosui/ws?projectId={project.id}")).replace("http", "ws", 1)
        async with connect(
            url, subprotocols=[Subprotocol("aosui.v1")], additional_headers={**ada, **origin}
        ) as socket:
            viewer = Viewer(socket, project.id)
            await viewer.opening()
            assert [view.user for view in app[aosui.WS_REGISTRY].connections()] == ["ada"]
            status, _ = await ask_for("POST", "/deployed", ada)
            assert status == 200
            event = await viewer.next()
            assert (event["type"], event["name"]) == ("project.event", "deployed")
            (view,) = app[aosui.WS_REGISTRY].connections()
            await view.close(4501)
            assert await viewer.closed() == 4501
