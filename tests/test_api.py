"""The HTTP door, route by route."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aosui import (
    REQUIRED,
    Limits,
    MemoryLog,
    Param,
    Project,
    ProjectChannel,
    Prompt,
    Run,
    Workflow,
)

from .conftest import MakeSite
from .support import BEARER, TOKEN, Gate, Scripted, Site, eventually

SCHEMA_OF_A_RUN = {
    "runId",
    "workflow",
    "executor",
    "title",
    "params",
    "state",
    "attempt",
    "retryOf",
    "by",
    "createdAt",
    "startedAt",
    "endedAt",
    "progress",
    "questions",
    "result",
    "error",
    "retryable",
    "firstSeq",
}


async def say(run: Run, channel: ProjectChannel) -> object:
    for number in range(run.params["lines"]):
        await channel.output(f"{number}\n")
    return None


async def ask(run: Run, channel: ProjectChannel) -> object:
    return await channel.ask(Prompt("sure", "Sure?"))


async def fail(run: Run, channel: ProjectChannel) -> object:
    raise ValueError


def scripted() -> Scripted:
    executor = Scripted(hold=Gate(), ask=ask, fail=fail)
    executor.add("say", say, params=[Param("lines", type="integer", default=3)])
    return executor


@pytest.fixture
async def site(make_site: MakeSite, tmp_path: Path) -> Site:
    (tmp_path / "home" / "new").mkdir(parents=True)
    return await make_site(scripted(), "a", "b", roots=[tmp_path / "home"])


class TestTheServer:
    async def test_health_is_for_everybody(self, site: Site) -> None:
        async with aiohttp.ClientSession() as stranger:
            async with stranger.get(site.server.make_url("/health")) as response:
                assert (response.status, await response.json()) == (200, {"status": "ok"})
            for verbose in ("1", "true", "yes"):
                url = site.server.make_url(f"/health?verbose={verbose}")
                async with stranger.get(url) as response:
                    assert response.status == 401

    async def test_the_lag_is_for_users(self, site: Site) -> None:
        reply = await site.http("GET", "/health?verbose=1")
        assert reply.body["status"] == "ok"
        assert set(reply.body["lag"]) == {"p50", "p99", "max"}

    async def test_executors(self, make_site: MakeSite) -> None:
        class Old(Scripted):
            api_version = 99

        site = await make_site(executors={"test": scripted(), "old": Old()})
        reply = await site.http("GET", "/api/executors")
        listed = {executor["name"]: executor for executor in reply.body["executors"]}
        assert set(listed) == {"test", "old"}
        for executor in listed.values():
            assert set(executor) == {
                "name",
                "distribution",
                "version",
                "status",
                "reason",
                "blocked",
            }
        assert (listed["test"]["status"], listed["test"]["blocked"]) == ("ok", None)
        assert listed["old"]["status"] == "incompatible"
        assert "99" in listed["old"]["reason"]

    async def test_the_token_is_exchanged_for_a_cookie(self, site: Site) -> None:
        reply = await site.http("POST", "/api/session")
        assert (reply.status, reply.body) == (204, None)
        cookie = reply.headers["Set-Cookie"]
        assert cookie.startswith(f"aosui_{site.port}=")
        for flag in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="):
            assert flag in cookie
        assert TOKEN not in cookie
        assert "Secure" not in cookie

    async def test_only_a_bearer_token_is(self, site: Site) -> None:
        cookie = (await site.http("POST", "/api/session")).headers["Set-Cookie"].split(";")[0]
        async with aiohttp.ClientSession() as stranger:
            for headers in (
                {"Authorization": "Bearer " + "x" * 20},
                {"Authorization": f"Basic {TOKEN}", "Origin": site.origin},
                {"Cookie": cookie, "Origin": site.origin},
            ):
                async with stranger.post(
                    site.server.make_url("/api/session"), headers=headers
                ) as response:
                    assert response.status == 401
                    assert response.headers["WWW-Authenticate"] == "Bearer"

    async def test_where_others_sign_in_there_is_no_session(self, make_site: MakeSite) -> None:
        async def anyone(request: web.Request, action: str, project_id: str | None) -> str:
            return "ann"

        site = await make_site(authorize=anyone)
        reply = await site.http("POST", "/api/session")
        assert (reply.status, reply.code) == (404, "notFound")


class TestProjects:
    async def test_are_listed(self, site: Site) -> None:
        await site.start("hold")
        reply = await site.http("GET", "/api/projects")
        assert reply.status == 200
        first, second = reply.body["projects"]
        assert first == {
            "projectId": site.ids[0],
            "name": "a",
            "root": str(site.opened.project.root),
            "epoch": site.opened.hub.epoch,
            "seq": None,
            "activity": {"active": 1, "queued": first["activity"]["queued"], "waiting": 0},
        }
        assert (second["projectId"], second["seq"]) == (site.ids[1], 0)
        assert second["activity"] == {"active": 0, "queued": 0, "waiting": 0}

    async def test_an_unchanged_list_is_not_sent_again(self, site: Site) -> None:
        first = await site.http("GET", "/api/projects")
        known = {"If-None-Match": first.headers["ETag"]}
        again = await site.http("GET", "/api/projects", headers=known)
        assert (again.status, again.body) == (304, None)
        assert again.headers["ETag"] == first.headers["ETag"]
        await site.registry.send_to_project(site.id, "tick", 1)
        changed = await site.http("GET", "/api/projects", headers=known)
        assert (changed.status, changed.body["projects"][0]["seq"]) == (200, 1)

    async def test_the_tag_holds_while_a_project_speaks(self, site: Site) -> None:
        socket = await site.viewer()
        run_id = await site.start("hold")
        await socket.state(run_id, "running")
        first = await site.http("GET", "/api/projects")
        await site.registry.send_to_project(site.id, "tick", 1)
        known = {"If-None-Match": first.headers["ETag"]}
        assert (await site.http("GET", "/api/projects", headers=known)).status == 304

    @pytest.mark.parametrize("tag", ["*", '"x", {etag}', "W/{etag}"])
    async def test_tags_as_http_has_them(self, site: Site, tag: str) -> None:
        etag = (await site.http("GET", "/api/projects")).headers["ETag"]
        known = {"If-None-Match": tag.format(etag=etag)}
        assert (await site.http("GET", "/api/projects", headers=known)).status == 304

    async def test_one_is_opened(self, site: Site, tmp_path: Path) -> None:
        root = str(tmp_path / "home" / "new")
        reply = await site.http("POST", "/api/projects", {"root": root, "name": "New"})
        assert reply.status == 201
        assert (reply.body["name"], reply.body["root"]) == ("New", root)
        again = await site.http("POST", "/api/projects", {"root": f"{root}/"})
        assert (again.status, again.body["projectId"]) == (200, reply.body["projectId"])
        assert reply.body["projectId"] in site.registry

    @pytest.mark.parametrize(
        ("root", "status", "code"),
        [
            ("home/nope", 404, "notFound"),
            ("home/../a", 403, "outsideRoot"),
            ("nope", 403, "outsideRoot"),
        ],
    )
    async def test_others_are_not(
        self, site: Site, tmp_path: Path, root: str, status: int, code: str
    ) -> None:
        reply = await site.http("POST", "/api/projects", {"root": f"{tmp_path}/{root}"})
        assert (reply.status, reply.code) == (status, code)
        assert str(tmp_path) not in json.dumps(reply.body)

    @pytest.mark.parametrize("body", [{}, {"root": 1}, {"root": "/x", "name": 1}])
    async def test_what_is_asked_for_has_to_fit(self, site: Site, body: object) -> None:
        reply = await site.http("POST", "/api/projects", body)
        assert (reply.status, reply.code) == (400, "badRequest")

    async def test_one_is_shown_as_its_snapshot(self, site: Site) -> None:
        run_id = await site.start("say")
        socket = await site.viewer()
        await socket.state(run_id)
        reply = await site.http("GET", f"/api/projects/{site.id}")
        fresh = await site.viewer()
        snapshot = fresh.frames[1]
        assert {**reply.body, "ts": ""} == {**snapshot, "ts": ""}
        assert set(reply.body["runs"][0]) == SCHEMA_OF_A_RUN

    async def test_one_is_closed(self, site: Site) -> None:
        closed = site.id
        reply = await site.http("DELETE", f"/api/projects/{closed}")
        assert (reply.status, reply.body) == (204, None)
        reply = await site.http("DELETE", f"/api/projects/{closed}")
        assert (reply.status, reply.code) == (404, "projectNotFound")
        listed = (await site.http("GET", "/api/projects")).body["projects"]
        assert closed not in [project["projectId"] for project in listed]

    async def test_a_busy_one_is_closed_with_cancel_only(self, site: Site) -> None:
        busy = site.id
        await site.start("hold")
        for query in ("", "?cancel=false", "?cancel=0", "?forget=true"):
            reply = await site.http("DELETE", f"/api/projects/{busy}{query}")
            assert (reply.status, reply.code) == (409, "projectBusy")
        reply = await site.http("DELETE", f"/api/projects/{busy}?cancel=true")
        assert reply.status == 204

    async def test_a_forgotten_one_has_a_new_epoch(self, site: Site, tmp_path: Path) -> None:
        root = str(tmp_path / "home" / "new")
        epochs = []
        for query in ("", "?forget=true", ""):
            opened = await site.http("POST", "/api/projects", {"root": root})
            epochs.append(opened.body["epoch"])
            await site.registry.send_to_project(opened.body["projectId"], "tick", 1)
            await site.http("DELETE", f"/api/projects/{opened.body['projectId']}{query}")
        assert epochs[0] == epochs[1] != epochs[2]


class TestWorkflows:
    async def test_are_listed_with_their_params(self, make_site: MakeSite) -> None:
        class Listing(Scripted):
            async def workflows(self, project: Project) -> list[Workflow]:
                return [
                    Workflow(
                        "deploy",
                        title="Deploy",
                        description="To a place",
                        params=[
                            Param("where", choices=("here", "there"), description="Place"),
                            Param("times", type="integer", default=1),
                            Param("key", secret=True, default=REQUIRED),
                        ],
                    ),
                    Workflow("check"),
                ]

        class Broken(Scripted):
            async def workflows(self, project: Project) -> list[Workflow]:
                raise ValueError("a broken file")

        site = await make_site(executors={"test": Listing(), "bad": Broken()})
        reply = await site.http("GET", f"/api/projects/{site.id}/workflows")
        deploy, check = reply.body["workflows"]
        assert (deploy["workflow"], deploy["executor"]) == ("test:deploy", "test")
        assert (deploy["title"], deploy["description"]) == ("Deploy", "To a place")
        assert deploy["params"] == [
            {
                "name": "where",
                "type": "string",
                "required": True,
                "default": None,
                "choices": ["here", "there"],
                "description": "Place",
                "secret": False,
            },
            {
                "name": "times",
                "type": "integer",
                "required": False,
                "default": 1,
                "choices": [],
                "description": "",
                "secret": False,
            },
            {
                "name": "key",
                "type": "string",
                "required": True,
                "default": None,
                "choices": [],
                "description": "",
                "secret": True,
            },
        ]
        assert check["title"] == "check"
        [error] = reply.body["errors"]
        assert error["executor"] == "bad"
        assert set(error["error"]) == {"code", "message", "retryable", "details"}
        assert "a broken file" in error["error"]["message"]

    async def test_a_slow_executor_does_not_hold_up_the_others(self, make_site: MakeSite) -> None:
        class Slow(Scripted):
            async def workflows(self, project: Project) -> list[Workflow]:
                await Gate()(None, None)  # type: ignore[arg-type]
                return []

        site = await make_site(
            executors={"test": scripted(), "slow": Slow()}, limits=Limits(workflows_seconds=0.03)
        )
        reply = await site.http("GET", f"/api/projects/{site.id}/workflows")
        assert len(reply.body["workflows"]) == 4
        assert [error["executor"] for error in reply.body["errors"]] == ["slow"]


class TestRuns:
    async def test_one_is_started_shown_and_retried(self, site: Site) -> None:
        path = f"/api/projects/{site.id}/runs"
        started = await site.http("POST", path, {"workflow": "test:fail", "params": {}})
        assert started.status == 202
        assert set(started.body) == {"runId", "since", "epoch"}
        run_id = started.body["runId"]
        await site.ended(run_id)
        shown = await site.http("GET", f"{path}/{run_id}")
        assert (shown.status, set(shown.body)) == (200, SCHEMA_OF_A_RUN)
        assert (shown.body["state"], shown.body["retryable"]) == ("failed", True)
        again = await site.http("POST", f"{path}/{run_id}/retry")
        assert again.status == 202
        assert (await site.ended(again.body["runId"]))["retryOf"] == run_id

    async def test_what_is_between_the_start_and_the_connection_is_not_lost(
        self, site: Site
    ) -> None:
        path = f"/api/projects/{site.id}/runs"
        started = await site.http("POST", path, {"workflow": "test:say", "params": {"lines": 50}})
        socket = await site.viewer(since=started.body["since"], epoch=started.body["epoch"])
        await socket.state(started.body["runId"])
        said = [event["text"] for event in socket.events if event["type"] == "run.output"]
        assert said == [f"{number}\n" for number in range(50)]

    async def test_one_is_cancelled(self, site: Site) -> None:
        path = f"/api/projects/{site.id}/runs/{await site.start('hold')}"
        reply = await site.http("POST", f"{path}/cancel")
        assert (reply.status, reply.body) == (200, {"state": "cancelling"})
        await eventually(lambda: not site.opened.active)
        reply = await site.http("POST", f"{path}/cancel", {"id": "x"})
        assert reply.body == {"state": "cancelled"}

    async def test_one_is_given_input_and_an_answer(self, site: Site) -> None:
        run_id = await site.start("ask")
        path = f"/api/projects/{site.id}"
        reply = await site.http("POST", f"{path}/runs/{run_id}/input", {"text": "x"})
        assert (reply.status, reply.body) == (200, {})
        socket = await site.viewer()
        question = (await socket.state(run_id, "waiting"))["questions"][0]["questionId"]
        answer = {"answers": {"sure": "yes"}}
        reply = await site.http("POST", f"{path}/questions/{question}/answer", answer)
        assert (reply.status, reply.body) == (200, {})
        assert (await socket.state(run_id))["result"] == {"sure": "yes"}
        late = await site.http("POST", f"{path}/questions/{question}/answer", answer)
        assert (late.status, late.code) == (409, "questionClosed")
        gone = await site.http("POST", f"{path}/runs/{run_id}/input", {"text": "x"})
        assert (gone.status, gone.code) == (409, "runNotActive")
        done = await site.http("POST", f"{path}/runs/{run_id}/retry")
        assert (done.status, done.code) == (409, "runNotRetryable")

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("runs", {"workflow": "test:nope"}, 404, "workflowNotFound"),
            ("runs", {"workflow": "test:say", "params": {"lines": "x"}}, 400, "invalidParams"),
            ("runs", {}, 400, "badRequest"),
            ("runs", {"workflow": 1}, 400, "badRequest"),
            ("runs", {"workflow": "test:say", "id": 1}, 400, "badRequest"),
            ("runs", {"workflow": "test:say", "id": ""}, 400, "badRequest"),
            ("runs/nope/cancel", {}, 404, "runNotFound"),
            ("runs/nope/retry", {}, 404, "runNotFound"),
            ("runs/nope/input", {"text": "x"}, 404, "runNotFound"),
            ("runs/nope/input", {}, 400, "badRequest"),
            ("questions/nope/answer", {"answers": {}}, 404, "questionNotFound"),
            ("questions/nope/answer", {}, 400, "badRequest"),
        ],
    )
    async def test_refusals(
        self, site: Site, path: str, body: object, status: int, code: str
    ) -> None:
        reply = await site.http("POST", f"/api/projects/{site.id}/{path}", body)
        assert (reply.status, reply.code) == (status, code)
        assert set(reply.body["error"]) == {"code", "message", "retryable", "details"}

    async def test_what_the_path_says_counts(self, site: Site) -> None:
        body = {"workflow": "test:hold", "params": {}, "projectId": site.ids[1]}
        reply = await site.http("POST", f"/api/projects/{site.ids[0]}/runs", body)
        assert reply.status == 202
        assert site.registry.opened(site.ids[0]).active
        assert not site.registry.opened(site.ids[1]).active

    async def test_runs_of_another_project_are_not_found(self, site: Site) -> None:
        run_id = await site.start("hold")
        other = f"/api/projects/{site.ids[1]}/runs/{run_id}"
        assert (await site.http("GET", other)).code == "runNotFound"
        for verb in ("cancel", "retry"):
            assert (await site.http("POST", f"{other}/{verb}")).code == "runNotFound"

    async def test_are_paged_newest_first(self, site: Site) -> None:
        ids = []
        for _ in range(7):
            ids.append(await site.start("fail"))
            await site.ended(ids[-1])
        path = f"/api/projects/{site.id}/runs"
        found: list[str] = []
        query, more = "?limit=3", True
        while more:
            reply = await site.http("GET", f"{path}{query}")
            page = [run["runId"] for run in reply.body["runs"]]
            assert len(page) <= 3
            found += page
            more = reply.body["more"]
            query = f"?limit=3&before={found[-1]}"
        assert found == ids[::-1]
        whole = await site.http("GET", path)
        assert ([run["runId"] for run in whole.body["runs"]], whole.body["more"]) == (found, False)

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("limit=0", "badRequest"),
            ("limit=-1", "badRequest"),
            ("limit=x", "badRequest"),
            ("limit=", "badRequest"),
            ("before=nope", "runNotFound"),
        ],
    )
    async def test_pages_that_there_are_not(self, site: Site, query: str, code: str) -> None:
        assert (await site.http("GET", f"/api/projects/{site.id}/runs?{query}")).code == code


class TestEvents:
    async def publish(self, site: Site, count: int, size: int = 1) -> None:
        for number in range(count):
            await site.registry.send_to_project(site.id, "tick", "x" * size + str(number))

    async def read(self, site: Site, query: str = "") -> dict[str, Any]:
        reply = await site.http("GET", f"/api/projects/{site.id}/events?{query}")
        assert reply.status == 200, reply
        assert set(reply.body) == {"events", "next", "firstSeq", "seq", "epoch"}
        return dict(reply.body)

    @staticmethod
    def seqs(page: dict[str, Any]) -> list[int]:
        return [event["seq"] for event in page["events"]]

    async def test_of_an_empty_log(self, site: Site) -> None:
        for query in ("", "after=0", "after=99", "before=1", "before=99"):
            page = await self.read(site, query)
            assert (page["events"], page["next"], page["seq"], page["firstSeq"]) == ([], None, 0, 1)

    async def test_forwards_page_by_page(self, site: Site) -> None:
        await self.publish(site, 10)
        found: list[int] = []
        position: int | None = 0
        while position is not None:
            page = await self.read(site, f"after={position}&limit=4")
            found += self.seqs(page)
            assert len(page["events"]) <= 4
            position = page["next"]
        assert found == list(range(1, 11))
        assert (page["seq"], page["epoch"]) == (10, site.opened.hub.epoch)
        assert self.seqs(await self.read(site)) == found

    async def test_backwards_page_by_page(self, site: Site) -> None:
        await self.publish(site, 10)
        found: list[int] = []
        position: int | None = 11
        while position is not None:
            page = await self.read(site, f"before={position}&limit=4")
            assert self.seqs(page) == sorted(self.seqs(page))
            found = self.seqs(page) + found
            position = page["next"]
        assert found == list(range(1, 11))

    @pytest.mark.parametrize(
        ("query", "seqs", "following"),
        [
            ("after=3&limit=2", [4, 5], 5),
            ("after=8&limit=2", [9, 10], None),
            ("after=10", [], None),
            ("after=99", [], None),
            ("before=3&limit=2", [1, 2], None),
            ("before=4&limit=2", [2, 3], 2),
            ("before=1", [], None),
            ("before=99&limit=1", [10], 10),
        ],
    )
    async def test_next_is_where_to_go_on_and_null_at_the_end(
        self, site: Site, query: str, seqs: list[int], following: int | None
    ) -> None:
        await self.publish(site, 10)
        page = await self.read(site, query)
        assert (self.seqs(page), page["next"]) == (seqs, following)

    async def test_of_one_run(self, site: Site) -> None:
        first, second = await site.start("say", lines=20), await site.start("say", lines=20)
        await site.ended(first)
        await site.ended(second)
        await self.publish(site, 5)
        for direction, start in (("after", 0), ("before", 10**6)):
            found: list[dict[str, Any]] = []
            position: int | None = start
            while position is not None:
                page = await self.read(site, f"{direction}={position}&limit=7&runId={second}")
                found += page["events"]
                position = page["next"]
            seqs = sorted(event["seq"] for event in found)
            assert len(seqs) == len(set(seqs)) == 23
            for event in found:
                assert second in (event.get("runId"), event.get("run", {}).get("runId"))
            texts = [event["text"] for event in found if "text" in event]
            assert sorted(texts, key=int) == [f"{number}\n" for number in range(20)]

    async def test_that_only_speak_of_a_run_are_not_its(self, site: Site) -> None:
        run_id = await site.start("fail")
        await site.ended(run_id)
        await site.registry.send_to_project(site.id, "about", {"runId": run_id})
        page = await self.read(site, f"runId={run_id}")
        assert [event["type"] for event in page["events"]] == ["run.updated"] * 3

    async def test_of_no_run_are_none(self, site: Site) -> None:
        await self.publish(site, 3)
        page = await self.read(site, "runId=nope")
        assert (page["events"], page["next"]) == ([], None)

    async def test_at_most_500(self, site: Site) -> None:
        run_id = await site.start("say", lines=1200)
        await site.ended(run_id)
        for query in ("", "limit=9999", f"runId={run_id}", "before=9999"):
            assert len((await self.read(site, query))["events"]) == 500

    async def test_at_most_a_mebibyte_and_at_least_one(self, site: Site) -> None:
        await self.publish(site, 40, 60_000)
        for query in ("", "before=99"):
            page = await self.read(site, query)
            assert 10 < len(page["events"]) <= 1024 * 1024 // 60_000 + 1
            assert page["next"] is not None

    async def test_with_a_run_at_most_4_mebibytes_are_scanned(self, site: Site) -> None:
        run_id = await site.start("fail")
        await site.ended(run_id)
        await self.publish(site, 100, 60_000)
        page = await self.read(site, f"before=9999&runId={run_id}")
        assert page["events"] == []
        assert 20 < page["next"] < 50
        page = await self.read(site, f"before={page['next']}&runId={run_id}")
        assert (len(page["events"]), page["next"]) == (3, None)
        page = await self.read(site, f"runId={run_id}")
        assert len(page["events"]) == 3
        assert 60 < page["next"] < 75

    async def test_that_are_no_longer_kept_are_skipped(self, make_site: MakeSite) -> None:
        site = await make_site(log=MemoryLog(kept_bytes=5000))
        await self.publish(site, 100, 100)
        first = site.opened.hub.first_seq
        assert first > 2
        page = await self.read(site, "after=0")
        assert (self.seqs(page)[0], page["firstSeq"]) == (first, first)
        page = await self.read(site, f"before={first}")
        assert (page["events"], page["next"]) == ([], None)
        page = await self.read(site, f"before={first + 3}&limit=2")
        assert self.seqs(page) == [first + 1, first + 2]
        page = await self.read(site, f"before={first + 2}&limit=2")
        assert (self.seqs(page), page["next"]) == ([first, first + 1], None)

    @pytest.mark.parametrize(
        "query", ["after=-1", "after=x", "before=0", "after=1&before=2", "limit=0", "after=1.5"]
    )
    async def test_positions_that_are_none(self, site: Site, query: str) -> None:
        reply = await site.http("GET", f"/api/projects/{site.id}/events?{query}")
        assert (reply.status, reply.code) == (400, "badRequest")


class TestBodies:
    PATH = "/api/projects"

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (b"nonsense", "badJson"),
            (b'{"root": NaN}', "badJson"),
            (b'{"root": "\\ud800"}', "badJson"),
            (b'{"root": "\xff"}', "badJson"),
            (b'{"a": ' + b"[" * 2000 + b"]" * 2000 + b"}", "badJson"),
            (b"[]", "badRequest"),
            (b'"x"', "badRequest"),
            (b'{"root": "/", "n": 9007199254740993}', "badRequest"),
            (b"", "badRequest"),
        ],
    )
    async def test_malformed(self, site: Site, data: bytes, code: str) -> None:
        headers = {"Content-Type": "application/json"}
        reply = await site.http("POST", self.PATH, data=data, headers=headers)
        assert (reply.status, reply.code) == (400, code)

    @pytest.mark.parametrize(
        "kind",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
    )
    async def test_of_another_type(self, site: Site, kind: str) -> None:
        reply = await site.http("POST", self.PATH, data=b"{}", headers={"Content-Type": kind})
        assert (reply.status, reply.code) == (415, "unsupportedMediaType")

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
    async def test_of_the_type_spelled_differently(self, site: Site, kind: str) -> None:
        reply = await site.http("POST", self.PATH, data=b"[]", headers={"Content-Type": kind})
        assert reply.code == "badRequest"

    async def test_too_big(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(frame_bytes=100))
        headers = {"Content-Type": "application/json"}
        fits, too_big = b'{"x": "%b"}' % (b"x" * 90), b'{"x": "%b"}' % (b"x" * 94)
        reply = await site.http("POST", self.PATH, data=fits, headers=headers)
        assert reply.code == "badRequest"
        reply = await site.http("POST", self.PATH, data=too_big, headers=headers)
        assert (reply.status, reply.code) == (413, "messageTooBig")

    async def test_too_big_and_without_a_length(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(frame_bytes=100))
        reply = await site.raw(
            f"""POST /api/projects HTTP/1.1
Host: 127.0.0.1:{site.port}
Authorization: Bearer {TOKEN}
Content-Type: application/json
Transfer-Encoding: chunked""",
            b"ff\r\n" + b"x" * 255 + b"\r\n0\r\n\r\n",
        )
        assert (reply.status, reply.code) == (413, "messageTooBig")

    async def test_none_at_all_where_nothing_is_needed(self, site: Site) -> None:
        run_id = await site.start("hold")
        reply = await site.http("POST", f"/api/projects/{site.id}/runs/{run_id}/cancel")
        assert reply.status == 200


class TestPaths:
    @pytest.mark.parametrize("path", ["/api", "/api/", "/api/nope", "/nope", "/api/projects/"])
    async def test_unknown(self, site: Site, path: str) -> None:
        reply = await site.http("GET", path)
        assert (reply.status, reply.code) == (404, "notFound")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PUT", "/api/projects"),
            ("DELETE", "/api/projects"),
            ("GET", "/api/session"),
            ("POST", "/ws"),
            ("PATCH", "/health"),
        ],
    )
    async def test_for_other_methods(self, site: Site, method: str, path: str) -> None:
        reply = await site.http(method, path)
        assert (reply.status, reply.code) == (405, "methodNotAllowed")
        assert reply.headers["Allow"]

    @pytest.mark.parametrize("project_id", ["nope", "..%2F..", "%00", "x" * 300, "a%2Fb"])
    async def test_unknown_projects(self, site: Site, project_id: str) -> None:
        for method, path in [
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/runs"),
            ("GET", "/runs/r"),
            ("GET", "/events"),
            ("GET", "/workflows"),
            ("POST", "/runs"),
            ("POST", "/runs/r/cancel"),
            ("POST", "/questions/q/answer"),
        ]:
            reply = await site.http(method, f"/api/projects/{project_id}{path}")
            assert (reply.status, reply.code) == (404, "projectNotFound")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/projects"),
            ("POST", "/api/projects"),
            ("GET", "/api/executors"),
            ("GET", "/api/projects/{id}"),
            ("GET", "/api/projects/nope"),
            ("DELETE", "/api/projects/{id}"),
            ("GET", "/api/projects/{id}/workflows"),
            ("GET", "/api/projects/{id}/events"),
            ("GET", "/api/projects/{id}/runs"),
            ("POST", "/api/projects/{id}/runs"),
            ("GET", "/api/projects/{id}/runs/r"),
            ("POST", "/api/projects/{id}/runs/r/cancel"),
            ("POST", "/api/projects/{id}/runs/r/retry"),
            ("POST", "/api/projects/{id}/runs/r/input"),
            ("POST", "/api/projects/{id}/questions/q/answer"),
            ("POST", "/api/session"),
        ],
    )
    async def test_need_credentials(self, site: Site, method: str, path: str) -> None:
        url = site.server.make_url(path.format(id=site.id))
        async with aiohttp.ClientSession() as stranger:
            for headers in ({"Origin": site.origin}, {"Authorization": "Bearer " + "x" * 20}):
                async with stranger.request(method, url, headers=headers) as response:
                    assert response.status == 401
                    assert (await response.json())["error"]["code"] == "unauthorized"

    async def test_answers_are_not_kept_by_caches(self, site: Site) -> None:
        for path in ("/health", f"/api/projects/{site.id}", "/api/nope"):
            assert (await site.http("GET", path)).headers["Cache-Control"] == "no-store"
        assert (await site.http("GET", "/api/projects")).headers["Cache-Control"] == "no-cache"


async def test_an_open_door_lists_what_may_be_viewed(make_site: MakeSite) -> None:
    async def some(request: web.Request, action: str, project_id: str | None) -> str | None:
        if "Authorization" not in request.headers:
            raise web.HTTPUnauthorized
        return "ann" if project_id is None or project_id.startswith("a") else None

    site = await make_site(None, "a", "b", authorize=some)
    reply = await site.http("GET", "/api/projects")
    assert [project["name"] for project in reply.body["projects"]] == ["a"]
    assert (await site.http("GET", f"/api/projects/{site.ids[1]}")).code == "forbidden"
    async with aiohttp.ClientSession() as stranger:
        async with stranger.get(site.server.make_url("/api/projects")) as response:
            assert response.status == 401
        for project_id in site.ids:
            await site.registry.close(project_id)
        async with stranger.get(site.server.make_url("/api/projects")) as response:
            assert response.status == 401


async def test_a_project_that_closes_while_others_are_judged_is_left_out(
    make_site: MakeSite,
) -> None:
    sites: list[Site] = []

    async def closing(request: web.Request, action: str, project_id: str | None) -> str:
        if project_id == sites[0].ids[0] and len(sites[0].ids) == 2:
            await sites[0].registry.close(project_id)
        return "ann"

    sites.append(await make_site(None, "a", "b", authorize=closing))
    reply = await sites[0].http("GET", "/api/projects")
    assert [project["name"] for project in reply.body["projects"]] == ["b"]


async def test_a_bug_in_a_handler_is_internal(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: web.Request, action: str, project_id: str | None) -> str:
        raise ZeroDivisionError("a secret detail")

    site = await make_site(authorize=broken)
    reply = await site.http("GET", f"/api/projects/{site.id}", headers=BEARER)
    assert (reply.status, reply.code) == (500, "internal")
    assert "secret detail" not in json.dumps(reply.body)
    assert "secret detail" in caplog.text
