"""The client over real sockets: against a real server, on a line that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aosui.client import Api, OutcomeUnknown, ProjectSocket, State, Timing, connect
from aosui.client.fold import Frame
from aosui.errors import (
    AosuiError,
    HostNotAllowed,
    InvalidAnswer,
    ProjectClosed,
    ProjectNotFound,
    QuestionClosed,
    RunNotFound,
    Unauthorized,
)
from aosui.protocol import CloseCode

from .conftest import MakeSite, Site, eventually

IMPATIENT = Timing(welcome=1.0, silence=0.1, pong=0.1, poll=0.05)


@pytest.fixture(autouse=True)
async def _limit() -> Any:
    async with asyncio.timeout(20):
        yield


async def until(socket: ProjectSocket, wanted: Callable[[Frame], bool]) -> list[Frame]:
    """Take events up to the wanted one."""
    taken = []
    async for event in socket:
        taken.append(event)
        if wanted(event):
            return taken
    raise AssertionError("the socket ended")


def ended(run_id: str) -> Callable[[Frame], bool]:
    return lambda event: (
        event["type"] == "run.updated"
        and event["run"]["runId"] == run_id
        and event["run"]["endedAt"] is not None
    )


def says(number: int) -> Callable[[Frame], bool]:
    return lambda event: event.get("text") == f"{number}\n"


def text_of(events: list[Frame]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "run.output")


def seqs(events: list[Frame]) -> list[int]:
    return [event["seq"] for event in events]


class States:
    """Hears of every state of a socket."""

    def __init__(self) -> None:
        self.seen: list[State] = []
        self._changed = asyncio.Event()

    def __call__(self, state: State) -> None:
        self.seen.append(state)
        self._changed.set()

    async def reach(self, state: State) -> None:
        while not self.seen or self.seen[-1] != state:
            self._changed.clear()
            await self._changed.wait()


async def test_a_run_is_followed_from_its_first_event_to_its_last(site: Site) -> None:
    site.executor.step(3)
    async with connect(site.url, site.project_id) as socket:
        assert socket.snapshot["runs"] == []
        started = await socket.start("talk:lines")
        events = await until(socket, ended(started["runId"]))
        assert text_of(events) == "0\n1\n2\n"
        assert seqs(events) == list(range(started["since"] + 1, events[-1]["seq"] + 1))
        [run] = socket.snapshot["runs"]
        assert (run["state"], socket.snapshot["seq"]) == ("succeeded", events[-1]["seq"])


async def test_the_state_is_live_inside_and_closed_behind(site: Site) -> None:
    states = States()
    async with connect(site.url, site.project_id, on_state=states) as socket:
        assert socket.state == "live"
    assert states.seen == ["live", "closed"]


async def test_the_iteration_ends_when_the_socket_is_left(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        pass
    assert [event async for event in socket] == []
    with pytest.raises(RuntimeError, match="left"):
        await socket.start("talk:lines")


async def test_leaving_says_goodbye(site: Site) -> None:
    async with connect(site.url, site.project_id):
        assert site.registry.connection_count() == 1
    await eventually(lambda: not site.registry.connection_count())


async def test_cancel_input_retry_and_answer(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        lines = await socket.start("talk:lines")
        await socket.cancel(lines["runId"])
        [*_, last] = await until(socket, ended(lines["runId"]))
        assert last["run"]["state"] == "cancelled"

        echo = await socket.start("talk:echo")
        assert await socket.input(echo["runId"], "hello") == {}
        [*_, last] = await until(socket, ended(echo["runId"]))
        assert last["run"]["result"] == "hello"

        site.executor.step(1)
        again = await socket.retry(lines["runId"], {"count": 1})
        [*_, last] = await until(socket, ended(again["runId"]))
        assert (last["run"]["state"], last["run"]["retryOf"]) == ("succeeded", lines["runId"])

        ask = await socket.start("talk:ask")
        [*_, waiting] = await until(
            socket, lambda event: event["type"] == "run.updated" and event["run"]["questions"]
        )
        [question] = waiting["run"]["questions"]
        with pytest.raises(InvalidAnswer):
            await socket.answer(question["questionId"], {})
        await socket.answer(question["questionId"], {"colour": "blue"})
        [*_, last] = await until(socket, ended(ask["runId"]))
        assert last["run"]["result"] == {"colour": "blue"}
        with pytest.raises(QuestionClosed):
            await socket.answer(question["questionId"], {"colour": "red"})


async def test_a_refusal_is_raised_by_the_call_and_the_socket_goes_on(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        with pytest.raises(RunNotFound):
            await socket.cancel("no-such-run")
        assert socket.state == "live"


async def test_a_line_cut_again_and_again_loses_and_repeats_nothing(site: Site) -> None:
    states = States()
    async with connect(site.url, site.project_id, on_state=states) as socket:
        started = await socket.start("talk:lines", {"count": 30})
        events: list[Frame] = []
        for cut in range(3):
            site.executor.step(5)
            events += await until(socket, says(10 * cut))
            site.relay.cut()
            site.executor.step(5)
        events += await until(socket, ended(started["runId"]))
    assert text_of(events) == "".join(f"{number}\n" for number in range(30))
    assert seqs(events) == list(range(1, len(events) + 1))
    assert states.seen.count("reconnecting") == 3
    assert states.seen[-2:] == ["live", "closed"]


async def test_a_dead_line_is_found_by_its_silence(site: Site) -> None:
    states = States()
    async with connect(site.url, site.project_id, on_state=states, timing=IMPATIENT) as socket:
        site.relay.mute = True
        await states.reach("reconnecting")
        site.relay.mute = False
        site.executor.step(3)
        started = await socket.start("talk:lines")
        assert text_of(await until(socket, ended(started["runId"]))) == "0\n1\n2\n"


async def test_a_quiet_line_that_lives_is_kept(site: Site) -> None:
    async with connect(site.url, site.project_id, timing=IMPATIENT):
        [before] = site.registry.connections()
        await asyncio.sleep(0.35)  # more than silence and pong together
        [after] = site.registry.connections()
        assert after.id == before.id


async def test_a_request_whose_reply_is_lost_acts_once(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        site.relay.mute = True
        task = asyncio.create_task(socket.start("talk:lines"))
        await eventually(lambda: site.executor.started == 1)
        site.relay.cut()
        site.relay.mute = False
        started = await task
        site.executor.step(3)
        await until(socket, ended(started["runId"]))
    assert site.executor.started == 1


async def test_the_same_request_id_never_acts_twice(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        first = await socket.start("talk:fail", request_id="once")
        assert await socket.start("talk:fail", request_id="once") == first


async def test_a_request_made_while_the_line_is_down_waits_for_it(site: Site) -> None:
    states = States()
    async with connect(site.url, site.project_id, on_state=states) as socket:
        site.relay.cut()
        await states.reach("reconnecting")
        assert (await socket.start("talk:fail"))["runId"]
        assert socket.state == "live"


async def test_another_log_is_shown_as_a_reset_and_the_outcome_is_unknown(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        started = await socket.start("talk:lines")
        await until(socket, lambda event: event["seq"] == started["since"] + 1)
        old = socket.snapshot["epoch"]
        site.relay.mute = True
        lost = asyncio.create_task(socket.start("talk:lines"))
        await eventually(lambda: site.executor.started == 2)
        await site.restart()
        site.relay.cut()
        site.relay.mute = False
        with pytest.raises(OutcomeUnknown) as raised:
            await lost
        assert raised.value.details is not None
        assert raised.value.details["sent"]
        [*_, reset] = await until(socket, lambda event: event["type"] == "reset")
        assert reset["reason"] == "epochChanged"
        assert reset["snapshot"]["epoch"] == socket.snapshot["epoch"] != old


async def test_dormant_comes_back_for_a_request(make_site: MakeSite) -> None:
    site = await make_site(dormant_after=0.05)
    states = States()
    async with connect(site.url, site.project_id, on_state=states) as socket:
        await states.reach("dormant")
        assert site.registry.connection_count() == 0
        site.executor.step(3)
        started = await socket.start("talk:lines")
        assert text_of(await until(socket, ended(started["runId"]))) == "0\n1\n2\n"


async def test_dormant_comes_back_when_something_runs(make_site: MakeSite) -> None:
    site = await make_site(dormant_after=0.05)
    states = States()
    async with connect(site.url, site.project_id, on_state=states, timing=IMPATIENT) as socket:
        await states.reach("dormant")
        await asyncio.sleep(0.3)  # several polls
        assert states.seen == ["live", "dormant"]
        site.executor.step(3)
        run_id = await site.registry.start_run(site.project_id, "talk:lines", {})
        events = await until(socket, ended(run_id))
        assert seqs(events) == list(range(1, len(events) + 1))


async def test_a_run_started_over_http_is_watched_from_the_position_replied(site: Site) -> None:
    site.executor.step(3)
    async with Api(site.url) as api:
        started = await api.call(
            "POST", "projects", site.project_id, "runs", body={"workflow": "talk:lines"}
        )
    position = {"since": started["since"], "epoch": started["epoch"]}
    async with connect(site.url, site.project_id, **position) as socket:
        events = await until(socket, ended(started["runId"]))
    assert text_of(events) == "0\n1\n2\n"
    assert seqs(events)[0] == started["since"] + 1


async def test_who_takes_nothing_is_sent_no_more_and_misses_nothing(site: Site) -> None:
    async with (
        connect(site.url, site.project_id) as lazy,
        connect(site.url, site.project_id) as eager,
    ):
        started = await eager.start("talk:flood", {"count": 5000})
        await until(eager, ended(started["runId"]))
        assert lazy.snapshot["seq"] < eager.snapshot["seq"]
        events = await until(lazy, ended(started["runId"]))
    assert seqs(events) == list(range(1, len(events) + 1))
    assert text_of(events).count("\n") == 5000


async def test_requests_are_answered_though_nobody_takes_events(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        await socket.start("talk:flood", {"count": 5000})
        with pytest.raises(RunNotFound):
            await socket.cancel("no-such-run")


async def test_a_project_that_is_closed_ends_the_iteration_with_the_reason(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        await site.registry.close(site.project_id)
        with pytest.raises(ProjectClosed):
            await anext(socket)
        with pytest.raises(ProjectClosed):
            await socket.start("talk:lines")


async def test_a_close_code_without_words_is_an_error_too(site: Site) -> None:
    async with connect(site.url, site.project_id) as socket:
        [connection] = site.registry.connections()
        await connection.close(CloseCode.REPLACED)
        with pytest.raises(AosuiError) as raised:
            await anext(socket)
        assert raised.value.code == "replaced"


async def test_what_is_wrong_from_the_start_is_raised_on_entering(site: Site) -> None:
    with pytest.raises(ProjectNotFound):
        async with connect(site.url, "no-such-project"):
            pass
    with pytest.raises(Unauthorized):
        async with connect(site.url.replace("token=", "token=not-"), site.project_id):
            pass


async def test_nobody_there_is_raised_on_entering(site: Site) -> None:
    await site.server.close()
    with pytest.raises(aiohttp.ClientError):
        async with connect(site.url, "site-000000"):
            pass


async def test_an_error_over_http_is_raised_as_what_it_is(site: Site) -> None:
    async with Api(site.url, token="wrong-token-wrong-token") as api:
        with pytest.raises(Unauthorized):
            await api.call("GET", "projects")
    async with Api(site.url) as api:
        projects, etag = await api.projects()
        assert projects is not None
        assert [project["projectId"] for project in projects] == [site.project_id]
        assert await api.projects(etag) == (None, etag)


async def test_a_proxy_that_passes_no_websockets_is_said_so(site: Site) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=404 if request.path == "/ws" else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as proxy:
        with pytest.raises(AosuiError) as raised:
            async with connect(str(proxy.make_url("/")), "site", token="t" * 16):
                pass
    assert raised.value.code == "webSocketBlocked"


async def test_a_refused_host_is_raised_though_the_handshake_says_nothing(site: Site) -> None:
    elsewhere = site.url.replace("127.0.0.1", "localhost")
    with pytest.raises(HostNotAllowed):
        async with connect(elsewhere, site.project_id):
            pass


async def test_what_answers_and_is_not_aosui_is_said_so() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<h1>Bad Gateway</h1>", status=502)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as proxy, Api(str(proxy.make_url("/"))) as api:
        with pytest.raises(AosuiError) as raised:
            await api.call("GET", "projects")
    assert (raised.value.code, raised.value.retryable) == ("badResponse", True)


async def test_a_project_that_is_closed_while_dormant_is_said_so(make_site: MakeSite) -> None:
    site = await make_site(dormant_after=0.05)
    states = States()
    async with connect(site.url, site.project_id, on_state=states, timing=IMPATIENT) as socket:
        await states.reach("dormant")
        await site.registry.close(site.project_id)
        with pytest.raises(ProjectNotFound):
            await anext(socket)


async def test_a_session_of_ones_own_is_used_and_left_open(site: Site) -> None:
    async with aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with connect(site.url, site.project_id, session=session) as socket:
            assert socket.state == "live"
        assert not session.closed


async def test_an_api_that_was_not_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Api("http://127.0.0.1:1/").call("GET", "projects")
