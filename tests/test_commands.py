"""Commands over both doors: done once, whatever is sent twice, lost or restarted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from aosui import Limits, MemoryLog, ProjectChannel, Prompt, Run
from aosui.errors import LogUnavailable

from .conftest import MakeSite
from .support import FaultyLog, Gate, Scripted, Site, Socket, eventually

SHORT = Limits(commit_seconds=0.05, cancel_seconds=0.2)


async def ask(run: Run, channel: ProjectChannel) -> object:
    return await channel.ask(Prompt("sure", "Sure?"))


async def fail(run: Run, channel: ProjectChannel) -> object:
    raise ValueError


async def echo(run: Run, channel: ProjectChannel) -> object:
    async for text in channel.inputs():
        if text == "end":
            return None
        await channel.output(text)
    return None


def scripted() -> Scripted:
    return Scripted(hold=Gate(), ask=ask, fail=fail, echo=echo)


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site(scripted())


def start(workflow: str = "test:hold", **params: object) -> dict[str, Any]:
    return {"workflow": workflow, "params": params}


def code(reply: dict[str, Any]) -> str:
    assert reply["ok"] is False
    return str(reply["error"]["code"])


async def question(socket: Socket, run_id: str) -> str:
    return str((await socket.state(run_id, "waiting"))["questions"][0]["questionId"])


class TestEveryCommand:
    async def test_start(self, site: Site) -> None:
        socket = await site.viewer()
        reply = await socket.request("run.start", id="1", **start())
        assert reply["ok"] is True
        assert set(reply["result"]) == {"runId", "since", "epoch"}
        assert reply["result"]["since"] == 0
        assert reply["result"]["epoch"] == socket.frames[0]["epoch"]
        first = socket.events[0]
        assert (first["type"], first["run"]["state"]) == ("run.updated", "queued")
        assert (first["run"]["runId"], first["requestId"]) == (reply["result"]["runId"], "1")
        assert [frame["type"] for frame in socket.frames].index("reply") > 3
        later = await socket.type("run.updated")
        assert "requestId" not in later

    async def test_cancel(self, site: Site) -> None:
        socket = await site.viewer()
        run_id = await socket.start("hold")
        await socket.state(run_id, "running")
        reply = await socket.request("run.cancel", id="2", runId=run_id)
        assert reply["result"] == {"state": "cancelling"}
        caused = [event for event in socket.events if event.get("requestId") == "2"]
        assert [event["run"]["state"] for event in caused] == ["cancelling"]
        assert (await socket.state(run_id))["state"] == "cancelled"
        reply = await socket.request("run.cancel", runId=run_id)
        assert reply["result"] == {"state": "cancelled"}

    async def test_retry(self, site: Site) -> None:
        socket = await site.viewer()
        run_id = await socket.start("fail")
        await socket.state(run_id)
        reply = await socket.request("run.retry", id="2", runId=run_id)
        assert set(reply["result"]) == {"runId", "since", "epoch"}
        again = await socket.state(reply["result"]["runId"])
        assert (again["attempt"], again["retryOf"]) == (2, run_id)

    async def test_inputs_come_in_the_order_in_which_they_were_sent(self, site: Site) -> None:
        socket = await site.viewer()
        run_id = await socket.start("echo")
        await socket.state(run_id, "running")
        for number in range(50):
            await socket.send("run.input", id=f"i{number}", runId=run_id, text=f"{number}\n")
        await socket.send("run.input", id="end", runId=run_id, text="end")
        assert (await socket.state(run_id))["state"] == "succeeded"
        said = [event["text"] for event in socket.events if event["type"] == "run.output"]
        assert said == [f"{number}\n" for number in range(50)]

    async def test_answer(self, site: Site) -> None:
        first, second = await site.viewer(), await site.viewer()
        run_id = await first.start("ask")
        question_id = await question(first, run_id)
        await question(second, run_id)
        for socket, answer in ((first, "yes"), (second, "no")):
            await socket.send(
                "question.answer", id=answer, questionId=question_id, answers={"sure": answer}
            )
        replies = [await first.reply("yes"), await second.reply("no")]
        lost = [reply for reply in replies if not reply["ok"]]
        assert [code(reply) for reply in lost] == ["questionClosed"]
        status = await first.state(run_id)
        details = lost[0]["error"]["details"]
        assert details["answers"] == status["result"]
        assert (details["outcome"], details["by"]) == ("answered", "local")
        closed = [event for event in first.events if event["type"] == "question.closed"]
        assert [event["answers"] for event in closed] == [status["result"]]
        assert closed[0]["requestId"] in ("yes", "no")
        late = await first.request(
            "question.answer", questionId=question_id, answers={"sure": "late"}
        )
        assert code(late) == "questionClosed"

    @pytest.mark.parametrize(
        ("kind", "fields", "refusal"),
        [
            ("run.start", {"workflow": "test:nope"}, "workflowNotFound"),
            ("run.start", {"workflow": "test:hold", "params": {"x": 1}}, "invalidParams"),
            ("run.cancel", {"runId": "nope"}, "runNotFound"),
            ("run.retry", {"runId": "nope"}, "runNotFound"),
            ("run.input", {"runId": "nope", "text": "x"}, "runNotFound"),
            ("question.answer", {"questionId": "nope", "answers": {}}, "questionNotFound"),
        ],
    )
    async def test_refusals(
        self, site: Site, kind: str, fields: dict[str, Any], refusal: str
    ) -> None:
        socket = await site.viewer()
        assert code(await socket.request(kind, **fields)) == refusal

    async def test_refusals_by_state(self, site: Site) -> None:
        socket = await site.viewer()
        going, failed = await socket.start("ask"), await socket.start("fail")
        question_id = await question(socket, going)
        await socket.state(failed)
        assert code(await socket.request("run.retry", runId=going)) == "runNotRetryable"
        assert code(await socket.request("run.input", runId=failed, text="x")) == "runNotActive"
        wrong = await socket.request("question.answer", questionId=question_id, answers={"x": "y"})
        assert code(wrong) == "invalidAnswer"
        for number in range(64):
            reply = await socket.request("run.input", id=str(number), runId=going, text="x")
            assert reply["result"] == {}
        limited = await socket.request("run.input", runId=going, text="x")
        assert (code(limited), limited["error"]["retryable"]) == ("limitExceeded", True)


class TestTheSameIdAgain:
    async def test_has_one_effect_and_the_same_reply(self, site: Site) -> None:
        socket = await site.viewer()
        replies = [await socket.request("run.start", id="1", **start()) for _ in range(3)]
        assert len({json.dumps(reply["result"]) for reply in replies}) == 1
        assert len(site.executor.started) == 1

    async def test_sent_at_once_over_two_sockets_and_http(self, site: Site) -> None:
        first, second = await site.viewer(), await site.viewer()
        body = {"id": "1", **start()}
        http, *replies = await asyncio.gather(
            site.http("POST", f"/api/projects/{site.id}/runs", body),
            first.request("run.start", **body),
            second.request("run.start", **body),
        )
        assert [reply["result"] for reply in replies] == [http.body] * 2
        assert len(site.executor.started) == 1

    async def test_after_a_reconnect(self, site: Site) -> None:
        socket = await site.viewer()
        await socket.send("run.start", id="1", **start())
        await socket.type("run.updated")
        await socket.close()
        again = await site.viewer()
        reply = await again.request("run.start", id="1", **start())
        assert [run.id for run in site.executor.started] == [reply["result"]["runId"]]

    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            ("run.start", start("test:ask")),
            ("run.start", start(x=1)),
            ("run.cancel", {"runId": "r"}),
        ],
    )
    async def test_with_other_content_is_refused(
        self, site: Site, kind: str, fields: dict[str, Any]
    ) -> None:
        socket = await site.viewer()
        await socket.request("run.start", id="1", **start())
        assert code(await socket.request(kind, id="1", **fields)) == "idReused"

    async def test_a_refusal_is_remembered_too(self, site: Site) -> None:
        socket = await site.viewer()
        assert code(await socket.request("run.start", id="1", **start("test:new"))) == (
            "workflowNotFound"
        )
        site.executor.add("new", Gate())
        assert code(await socket.request("run.start", id="1", **start("test:new"))) == (
            "workflowNotFound"
        )
        assert (await socket.request("run.start", id="2", **start("test:new")))["ok"]

    async def test_a_refusal_that_may_pass_is_not(self, make_site: MakeSite) -> None:
        site = await make_site(scripted(), limits=Limits(active_runs=1))
        socket = await site.viewer()
        first = await socket.start("hold")
        assert code(await socket.request("run.start", id="1", **start())) == "limitExceeded"
        await socket.request("run.cancel", runId=first)
        await socket.state(first)
        assert (await socket.request("run.start", id="1", **start()))["ok"]

    async def test_is_forgotten_after_its_time(self, make_site: MakeSite) -> None:
        site = await make_site(
            scripted(), log=MemoryLog(request_seconds=0.01), limits=Limits(request_seconds=0.01)
        )
        socket = await site.viewer()
        first = await socket.request("run.start", id="1", **start())
        await asyncio.sleep(0.02)
        await site.registry.send_to_project(site.id, "tick", 1)
        await socket.start("hold")
        again = await socket.request("run.start", id="1", **start())
        assert first["result"]["runId"] != again["result"]["runId"]

    async def test_more_ids_than_are_remembered_are_rate_limited(self, make_site: MakeSite) -> None:
        site = await make_site(scripted(), limits=Limits(requests_kept=2))
        socket = await site.viewer()
        for request_id in ("1", "2"):
            assert (await socket.request("run.start", id=request_id, **start()))["ok"]
        assert code(await socket.request("run.start", id="3", **start())) == "rateLimited"
        assert (await socket.request("run.start", id="2", **start()))["ok"]
        reply = await site.http("POST", f"/api/projects/{site.id}/runs", start())
        assert reply.status == 202

    async def test_without_an_id_nothing_is_remembered(self, site: Site) -> None:
        path = f"/api/projects/{site.id}/runs"
        replies = [await site.http("POST", path, start()) for _ in range(2)]
        assert replies[0].body["runId"] != replies[1].body["runId"]


class TestAfterARestart:
    async def test_requests_that_caused_an_event_are_known(self, make_site: MakeSite) -> None:
        log = MemoryLog()
        site = await make_site(scripted(), log=log)
        socket = await site.viewer()
        started = await socket.request("run.start", id="start", **start("test:ask"))
        asking = started["result"]["runId"]
        question_id = await question(socket, asking)
        answer = {"questionId": question_id, "answers": {"sure": "yes"}}
        assert (await socket.request("question.answer", id="answer", **answer))["ok"]
        failed = await socket.start("fail")
        await socket.state(failed)
        retried = await socket.request("run.retry", id="retry", runId=failed)
        held = await socket.start("hold")
        await socket.state(held, "running")
        await socket.request("run.cancel", id="cancel", runId=held)
        await socket.state(held)
        await socket.close()
        await site.server.close()

        again = await make_site(scripted(), log=log)
        socket = await again.viewer()
        for request_id, kind, fields, result in [
            ("start", "run.start", start("test:ask"), started["result"]),
            ("answer", "question.answer", answer, {}),
            ("retry", "run.retry", {"runId": failed}, retried["result"]),
            ("cancel", "run.cancel", {"runId": held}, {"state": "cancelled"}),
        ]:
            reply = await socket.request(kind, id=request_id, **fields)
            assert reply["result"] == result
        assert code(await socket.request("run.start", id="answer", **start())) == "idReused"
        other = await socket.request("run.start", id="start", **start("test:hold"))
        assert code(other) == "idReused"
        assert again.executor.started == []


class TestALogThatTakesNothing:
    async def test_a_request_is_told_so_and_its_id_waits_for_the_real_outcome(
        self, make_site: MakeSite
    ) -> None:
        log = FaultyLog()
        site = await make_site(scripted(), log=log, limits=SHORT)
        socket = await site.viewer()
        log.refusing = True
        for _ in range(2):
            reply = await socket.request("run.start", id="1", **start())
            assert (code(reply), reply["error"]["retryable"]) == ("logUnavailable", True)
        http = await site.http("POST", f"/api/projects/{site.id}/runs", {"id": "1", **start()})
        assert (http.status, http.code) == (503, "logUnavailable")
        assert site.executor.started == []
        assert socket.events == []
        log.refusing = False
        await eventually(lambda: site.opened.hub.seq)
        reply = await socket.request("run.start", id="1", **start())
        assert reply["ok"]
        await socket.state(reply["result"]["runId"], "running")
        assert len(site.executor.started) == 1

    async def test_a_cancel_cancels_all_the_same(self, make_site: MakeSite) -> None:
        class SilentLog(FaultyLog):
            async def request(self, project_id: str, request_id: str) -> bytes | None:
                if self.refusing:
                    raise LogUnavailable
                return await super().request(project_id, request_id)

        log = SilentLog()
        gate = Gate()
        site = await make_site(Scripted(hold=gate), log=log, limits=SHORT)
        socket = await site.viewer()
        run_id = await socket.start("hold")
        await socket.state(run_id, "running")
        log.refusing = True
        assert code(await socket.request("run.cancel", runId=run_id)) == "logUnavailable"
        await eventually(lambda: not gate.holding)
        other = await socket.request("run.start", id="1", **start())
        assert code(other) == "logUnavailable"
        log.refusing = False
        assert (await socket.state(run_id))["state"] == "cancelled"
        await eventually(lambda: site.opened.hub.quiet)
        assert (await socket.request("run.start", id="1", **start()))["ok"]

    async def test_runs_pause_and_go_on_and_nothing_is_lost(self, make_site: MakeSite) -> None:
        log = FaultyLog()

        async def count(run: Run, channel: ProjectChannel) -> object:
            for number in range(1000):
                await channel.output(f"{number}\n")
            return None

        site = await make_site(Scripted(count=count), log=log, limits=Limits(outbox_events=10))
        socket = await site.viewer()
        run_id = await socket.start("count")
        log.refusing = True
        await eventually(lambda: site.opened.hub.full)
        log.refusing = False
        assert (await socket.state(run_id))["state"] == "succeeded"
        said = [event["text"] for event in socket.events if event["type"] == "run.output"]
        assert said == [f"{number}\n" for number in range(1000)]
        assert socket.seqs == list(range(1, len(socket.seqs) + 1))


async def test_a_bug_in_a_command_is_internal_and_the_connection_goes_on(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    class BuggyLog(MemoryLog):
        async def request(self, project_id: str, request_id: str) -> bytes | None:
            raise ZeroDivisionError("a secret detail")

    site = await make_site(scripted(), log=BuggyLog())
    socket = await site.viewer()
    reply = await socket.request("run.start", id="1", **start())
    assert code(reply) == "internal"
    assert "secret detail" not in json.dumps(reply)
    assert "secret detail" in caplog.text
    http = await site.http("POST", f"/api/projects/{site.id}/runs", {"id": "1", **start()})
    assert (http.status, http.code) == (500, "internal")
    await socket.send("ping", nonce=1)
    await socket.type("pong")


async def test_a_project_that_closes_meanwhile(make_site: MakeSite) -> None:
    listing, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Scripted):
        async def workflows(self, project: Any) -> Any:
            listing.set()
            await go_on.wait()
            return await super().workflows(project)

    site = await make_site(Slow(hold=Gate()))
    starting = asyncio.create_task(site.http("POST", f"/api/projects/{site.id}/runs", start()))
    await listing.wait()
    await site.registry.close(site.id)
    go_on.set()
    reply = await starting
    assert (reply.status, reply.code) == (409, "projectClosed")
    assert site.executor.started == []
