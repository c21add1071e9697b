"""The registry: opening, closing, events, connections, and the end."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aosui import Limits, MemoryLog, Project, ProjectChannel, ProjectRegistry, Run
from aosui.errors import (
    LogUnavailable,
    NotFound,
    NotSerialisable,
    OutsideRoot,
    ProjectBusy,
    ProjectNotFound,
    RunNotFound,
    ShuttingDown,
    WorkflowNotFound,
)
from aosui.executors import Executors
from aosui.protocol import PROJECT_ID
from aosui.registry import project_id_of

from .conftest import MakeSite
from .support import SECONDS, FaultyLog, Gate, Scripted, Site, eventually


def make_registry(
    log: MemoryLog | None = None, *, executor: Scripted | None = None, **options: Any
) -> ProjectRegistry:
    registry = ProjectRegistry(log or MemoryLog(), options.pop("limits", Limits()), **options)
    registry.executors.adopt(Executors({"test": executor or Scripted(hold=Gate())}))
    return registry


class TestIds:
    @pytest.mark.parametrize(
        ("path", "slug"),
        [
            ("/home/ann/site", "site"),
            ("/home/ann/My Site (2)", "My-Site-2"),
            ("/home/ann/.hidden", "hidden"),
            ("/home/ann/...", "project"),
            ("/", "project"),
            ("/home/ann/日本語", "project"),
            ("/home/ann/" + "x" * 200, "x" * 57),
            (os.fsdecode(b"/home/ann/caf\xe9"), "caf"),
        ],
    )
    def test_are_the_slug_of_the_name_and_a_hash_of_the_path(self, path: str, slug: str) -> None:
        project_id = project_id_of(Path(path))
        assert PROJECT_ID.fullmatch(project_id)
        assert re.fullmatch(rf"{re.escape(slug)}-[0-9a-f]{{6}}", project_id)

    def test_are_the_same_for_ever_and_differ_by_path(self) -> None:
        assert project_id_of(Path("/a/site")) == project_id_of(Path("/a/site"))
        assert project_id_of(Path("/a/site")) != project_id_of(Path("/b/site"))


class TestOpening:
    async def test_one_real_path_is_one_project(self, tmp_path: Path) -> None:
        registry = make_registry()
        root = tmp_path / "a" / "b"
        root.mkdir(parents=True)
        (tmp_path / "link").symlink_to(root)
        ways: list[str | Path] = [
            root,
            f"{root}/",
            tmp_path / "a" / ".." / "a" / "b",
            tmp_path / "link",
        ]
        opened = [await registry.open(way) for way in ways]
        assert len(set(opened)) == len(registry) == 1
        assert opened[0].root == root
        assert [registry.find(way) for way in ways] == opened
        await registry.finish()

    async def test_at_once_opens_it_once(self, tmp_path: Path) -> None:
        changes: list[Sequence[Project]] = []
        registry = make_registry(on_change=changes.append)
        projects = await asyncio.gather(*(registry.open(tmp_path) for _ in range(20)))
        assert len(set(projects)) == 1
        assert len(changes) == 1
        await registry.finish()

    async def test_what_is_no_directory_is_not_found(self, tmp_path: Path) -> None:
        registry = make_registry()
        (tmp_path / "file").touch()
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        for way in ("nope", "file", "loop", "a\0b"):
            with pytest.raises(NotFound) as caught:
                await registry.open(tmp_path / way)
            assert str(tmp_path) not in caught.value.message
        assert len(registry) == 0
        await registry.finish()

    async def test_a_name(self, tmp_path: Path) -> None:
        registry = make_registry()
        assert (await registry.open(tmp_path, name="Mine")).name == "Mine"
        assert (await registry.open(tmp_path, name="Other")).name == "Mine"
        await registry.finish()

    async def test_is_a_collection(self, tmp_path: Path) -> None:
        registry = make_registry()
        roots = [tmp_path / name for name in "ab"]
        for root in roots:
            root.mkdir()
        first, second = [await registry.open(root) for root in roots]
        assert list(registry) == [first, second]
        assert first.id in registry
        assert "nope" not in registry
        assert 7 not in registry
        assert registry.get(first.id) == first
        with pytest.raises(ProjectNotFound):
            registry.get("nope")
        assert registry.find(tmp_path) is None
        await registry.finish()

    async def test_a_path_that_is_no_utf_8(self, make_site: MakeSite, tmp_path: Path) -> None:
        site = await make_site()
        root = tmp_path / os.fsdecode(b"caf\xe9")
        root.mkdir()
        project = await site.registry.open(root)
        assert project.name == "caf?"
        listed = await site.http("GET", "/api/projects")
        assert listed.body["projects"][1]["root"].endswith("/caf?")
        await site.viewer(project.id)

    async def test_a_log_that_takes_nothing_leaves_nothing_behind(self, tmp_path: Path) -> None:
        log = FaultyLog()
        before = make_registry(log)
        project = await before.open(tmp_path)
        await before.start_run(project.id, "test:hold", {})
        await eventually(lambda: before.opened(project.id).hub.seq == 2)
        await eventually(lambda: before.opened(project.id).hub.quiet)
        log.refusing = True
        registry = make_registry(log, limits=Limits(commit_seconds=0.02))
        tasks = asyncio.all_tasks()
        for _ in range(2):
            with pytest.raises(LogUnavailable):
                await registry.open(tmp_path)
        assert len(registry) == 0
        assert asyncio.all_tasks() <= tasks
        log.refusing = False
        await registry.open(tmp_path)
        snapshot = registry.opened(project.id).hub.snapshot.text("t")
        assert snapshot.count(b'"state":"interrupted"') == 1
        assert registry.opened(project.id).hub.seq == 3
        before.opened(project.id).runner.cancel_all()
        await before.opened(project.id).runner.ended()
        await before.opened(project.id).hub.close(SECONDS)
        await registry.finish()


class TestBelowRoots:
    """What a client may open: real paths below real roots."""

    @pytest.fixture
    def registry(self, tmp_path: Path) -> ProjectRegistry:
        for name in ("home/site", "home-other", "elsewhere"):
            (tmp_path / name).mkdir(parents=True)
        return make_registry(roots=[tmp_path / "home"])

    async def test_a_directory_below_a_root_or_the_root_itself(
        self, registry: ProjectRegistry, tmp_path: Path
    ) -> None:
        project, new = await registry.open_below_roots(str(tmp_path / "home" / "site"), name="S")
        assert (project.name, new) == ("S", True)
        again, new = await registry.open_below_roots(f"{tmp_path}/home/x/../site/")
        assert (again, new) == (project, False)
        assert (await registry.open_below_roots(str(tmp_path / "home")))[1]
        await registry.finish()

    @pytest.mark.parametrize(
        "path",
        [
            "home-other",
            "elsewhere",
            "home/../elsewhere",
            "home/link",
            "",
            "home/link/sub",
            "home/loop",
        ],
    )
    async def test_everything_else_is_outside(
        self, registry: ProjectRegistry, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "home" / "link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "home" / "loop").symlink_to(tmp_path / "home" / "loop")
        with pytest.raises(OutsideRoot) as caught:
            await registry.open_below_roots(f"{tmp_path}/{path}")
        assert str(tmp_path) not in caught.value.message
        await registry.finish()

    @pytest.mark.parametrize("path", ["nope", "site/nope", "a\0b"])
    async def test_what_is_no_directory_is_not_found(
        self, registry: ProjectRegistry, tmp_path: Path, path: str
    ) -> None:
        with pytest.raises(NotFound):
            await registry.open_below_roots(f"{tmp_path}/home/{path}")
        await registry.finish()

    @pytest.mark.parametrize("path", ["", "site", "./site", "..", "~nobody-has-this-name/x"])
    async def test_a_path_has_to_be_whole(self, registry: ProjectRegistry, path: str) -> None:
        with pytest.raises(NotFound):
            await registry.open_below_roots(path)
        await registry.finish()

    async def test_what_exists_outside_is_not_told(
        self, registry: ProjectRegistry, tmp_path: Path
    ) -> None:
        for path in ("elsewhere", "does-not-exist"):
            with pytest.raises(OutsideRoot):
                await registry.open_below_roots(str(tmp_path / path))
        await registry.finish()

    async def test_without_roots_there_is_nothing_to_open(self, tmp_path: Path) -> None:
        registry = make_registry()
        with pytest.raises(OutsideRoot):
            await registry.open_below_roots(str(tmp_path))
        await registry.finish()

    async def test_a_link_swapped_later_leads_nowhere_else(
        self, registry: ProjectRegistry, tmp_path: Path
    ) -> None:
        link = tmp_path / "home" / "current"
        link.symlink_to(tmp_path / "home" / "site")
        project, _ = await registry.open_below_roots(str(link))
        link.unlink()
        link.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OutsideRoot):
            await registry.open_below_roots(str(link))
        assert project.root == tmp_path / "home" / "site"
        await registry.start_run(project.id, "test:hold", {})
        site = tmp_path / "home" / "site"
        site.rmdir()
        site.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OutsideRoot):
            await registry.start_run(project.id, "test:hold", {})
        await registry.shut_down()
        await registry.finish()


class TestClosing:
    async def test_its_log_stays_and_opening_again_goes_on_with_it(self, tmp_path: Path) -> None:
        registry = make_registry()
        project = await registry.open(tmp_path)
        await registry.send_to_project(project.id, "tick", 1)
        epoch = registry.opened(project.id).hub.epoch
        await registry.close(project.id)
        assert project.id not in registry
        with pytest.raises(ProjectNotFound):
            await registry.close(project.id)
        assert (await registry.open(tmp_path)).id == project.id
        assert await registry.send_to_project(project.id, "tick", 2) == 2
        assert registry.opened(project.id).hub.epoch == epoch
        await registry.finish()

    async def test_forgotten_it_starts_anew(self, tmp_path: Path) -> None:
        registry = make_registry()
        project = await registry.open(tmp_path)
        await registry.send_to_project(project.id, "tick", 1)
        epoch = registry.opened(project.id).hub.epoch
        await registry.close(project.id, forget=True)
        await registry.open(tmp_path)
        hub = registry.opened(project.id).hub
        assert (hub.seq, hub.epoch == epoch) == (0, False)
        await registry.finish()

    async def test_is_refused_while_it_is_active_unless_cancelled(self, tmp_path: Path) -> None:
        registry = make_registry()
        project = await registry.open(tmp_path)
        run_id = await registry.start_run(project.id, "test:hold", {})
        with pytest.raises(ProjectBusy):
            await registry.close(project.id)
        await registry.close(project.id, cancel=True)
        await registry.open(tmp_path)
        status = await registry.opened(project.id).runner.status(run_id)
        assert status.state == "cancelled"
        await registry.finish()

    async def test_a_log_that_takes_nothing_keeps_it_open(self, tmp_path: Path) -> None:
        log = FaultyLog()
        registry = make_registry(log, limits=Limits(commit_seconds=0.02))
        project = await registry.open(tmp_path)
        log.refusing = True
        with pytest.raises(LogUnavailable):
            await registry.send_to_project(project.id, "tick", 1)
        with pytest.raises(LogUnavailable):
            await registry.close(project.id)
        assert project.id in registry
        log.refusing = False
        await eventually(lambda: registry.opened(project.id).hub.seq == 1)
        await registry.close(project.id)
        await registry.finish()

    async def test_and_opening_at_once_leave_one_that_works(self, tmp_path: Path) -> None:
        registry = make_registry()
        project = await registry.open(tmp_path)
        for number in range(20):
            await registry.send_to_project(project.id, "tick", number)
            await asyncio.gather(
                registry.close(project.id, forget=number % 2 == 0), registry.open(tmp_path)
            )
            await registry.open(tmp_path)
        assert await asyncio.wait_for(registry.send_to_project(project.id, "tick", 0), SECONDS)
        await registry.finish()

    async def test_on_change_has_the_open_projects_each_time(self, tmp_path: Path) -> None:
        changes: list[list[str]] = []
        registry = make_registry(
            on_change=lambda projects: changes.append([project.name for project in projects])
        )
        for name in "ab":
            (tmp_path / name).mkdir()
        a, b = [await registry.open(tmp_path / name) for name in "ab"]
        await registry.close(a.id)
        await registry.shut_down()
        await registry.finish()
        assert changes == [["a"], ["a", "b"], ["b"]]
        assert b.name == "b"


class TestRunsAndEvents:
    async def test_a_run_started_and_cancelled_by_the_application(self, tmp_path: Path) -> None:
        registry = make_registry()
        project = await registry.open(tmp_path)
        run_id = await registry.start_run(project.id, "test:hold", {}, by="cron")
        runner = registry.opened(project.id).runner
        assert (await runner.status(run_id)).by == "cron"
        await registry.cancel_run(project.id, run_id)
        await runner.ended()
        with pytest.raises(RunNotFound):
            await registry.cancel_run(project.id, "nope")
        with pytest.raises(WorkflowNotFound):
            await registry.start_run(project.id, "test:nope", {})
        with pytest.raises(ProjectNotFound):
            await registry.start_run("nope", "test:hold", {})
        await registry.finish()

    async def test_an_event_goes_to_one_project_and_no_other(self, make_site: MakeSite) -> None:
        site = await make_site(None, "a", "b")
        a, b = await site.viewer(), await site.viewer(site.ids[1])
        assert await site.registry.send_to_project(site.ids[0], "deployed", {"to": "a"}) == 1
        assert await site.registry.send_to_project(site.ids[1], "deployed", {"to": "b"}) == 1
        for socket, name in ((a, "a"), (b, "b")):
            await socket.seq(1)
            [event] = socket.events
            assert (event["type"], event["name"], event["data"]) == (
                "project.event",
                "deployed",
                {"to": name},
            )
            assert event["projectId"] == socket.project_id

    @pytest.mark.parametrize("data", [object(), "x" * 61_440, "\ud800"])
    async def test_data_that_is_no_json_or_too_large_is_refused(
        self, tmp_path: Path, data: object
    ) -> None:
        registry = make_registry()
        project = await registry.open(tmp_path)
        with pytest.raises(NotSerialisable):
            await registry.send_to_project(project.id, "x", data)
        assert registry.opened(project.id).hub.next_seq == 1
        await registry.finish()

    async def test_a_full_outbox_is_waited_for_only_so_long(self, tmp_path: Path) -> None:
        log = FaultyLog()
        limits = Limits(commit_seconds=0.02, outbox_events=1)
        registry = make_registry(log, limits=limits)
        project = await registry.open(tmp_path)
        log.refusing = True
        for _ in range(4):
            with pytest.raises(LogUnavailable):
                await registry.send_to_project(project.id, "tick", 1)
        assert registry.opened(project.id).hub.next_seq == 3
        log.refusing = False
        await registry.finish()


class TestConnections:
    async def test_views(self, make_site: MakeSite) -> None:
        site = await make_site(None, "a", "b")
        await site.viewer(clientId="c1")
        await site.viewer(site.ids[1], clientId="c2")
        views = site.registry.connections()
        assert [(view.project_id, view.client_id, view.user) for view in views] == [
            (site.ids[0], "c1", "local"),
            (site.ids[1], "c2", "local"),
        ]
        assert site.sockets[0].frames[0]["connectionId"] == views[0].id
        assert [view.id for view in site.registry.connections(site.ids[1])] == [views[1].id]
        assert (site.registry.connection_count(), site.registry.connection_count(site.id)) == (2, 1)
        with pytest.raises(ProjectNotFound):
            site.registry.connections("nope")
        with pytest.raises(ProjectNotFound):
            site.registry.connection_count("nope")

    @pytest.mark.parametrize("code", [4501, 4502, 4508])
    async def test_close_ends_one(self, make_site: MakeSite, code: int) -> None:
        site = await make_site()
        socket = await site.viewer()
        [view] = site.registry.connections()
        await view.close(code)
        assert await socket.closed() == code
        await view.close()
        await eventually(lambda: site.registry.connections() == [])

    async def test_close_takes_codes_of_the_protocol_only(self, make_site: MakeSite) -> None:
        site = await make_site()
        await site.viewer()
        [view] = site.registry.connections()
        with pytest.raises(ValueError, match="4999"):
            await view.close(4999)

    async def test_many_cycles_leave_nothing_behind(self, make_site: MakeSite) -> None:
        site = await make_site()
        for _ in range(50):
            socket = await site.viewer()
            await socket.close()
        await eventually(lambda: site.registry.connection_count() == 0)
        assert len(site.registry.laggards) == 0
        assert not site.opened.hub.connections


async def stubborn(run: Run, channel: ProjectChannel) -> object:
    loop = asyncio.get_running_loop()
    until = loop.time() + 0.6
    while loop.time() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
    return None


class TestTheEnd:
    async def test_interrupts_runs_and_tells_their_viewers(self, make_site: MakeSite) -> None:
        log = MemoryLog()
        site = await make_site(Scripted(hold=Gate()), log=log)
        socket = await site.viewer()
        run_id = await socket.start("hold")
        await socket.state(run_id, "running")
        closing = asyncio.create_task(site.server.close())
        assert await socket.closed() == 1001
        await closing
        last = socket.events[-1]["run"]
        assert (last["state"], last["error"]["code"]) == ("interrupted", "interrupted")
        assert site.executor.closed == 1
        again = await make_site(Scripted(hold=Gate()), log=log)
        assert (await again.ended(run_id))["state"] == "interrupted"

    async def test_takes_no_longer_than_its_limits_beside_a_stubborn_executor(
        self, make_site: MakeSite
    ) -> None:
        log = MemoryLog()
        site = await make_site(
            Scripted(stubborn=stubborn), log=log, limits=Limits(cancel_seconds=0.1)
        )
        run_id = await site.start("stubborn")
        socket = await site.viewer()
        await socket.state(run_id, "running")
        loop = asyncio.get_running_loop()
        began = loop.time()
        closing = asyncio.create_task(site.server.close())
        assert await socket.closed() == 1001
        await closing
        assert loop.time() - began < 3
        again = await make_site(log=log)
        assert (await again.ended(run_id))["state"] == "interrupted"
        await asyncio.sleep(0.6)

    async def test_beside_a_log_that_takes_nothing(
        self, make_site: MakeSite, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = FaultyLog()
        site = await make_site(
            Scripted(hold=Gate()), log=log, limits=Limits(commit_seconds=0.1, cancel_seconds=0.1)
        )
        await site.start("hold")
        log.refusing = True
        loop = asyncio.get_running_loop()
        began, before = loop.time(), asyncio.all_tasks()
        await site.server.close()
        assert loop.time() - began < 3
        assert asyncio.all_tasks() <= before
        assert "stopped before the log took everything" in caplog.text

    async def test_nothing_is_opened_any_more(self, tmp_path: Path) -> None:
        registry = make_registry()
        await registry.shut_down()
        with pytest.raises(ShuttingDown):
            await registry.open(tmp_path)
        await registry.finish()

    async def test_requests_are_refused_over_both_doors(self, site: Site) -> None:
        socket = await site.viewer()
        site.registry.shutting_down = True
        site.opened.runner.interrupt_all()
        reply = await socket.request("run.start", workflow="test:hold", params={})
        assert reply["error"]["code"] == "shuttingDown"
        http = await site.http(
            "POST", f"/api/projects/{site.id}/runs", {"workflow": "test:hold", "params": {}}
        )
        assert (http.status, http.code) == (503, "shuttingDown")

    @pytest.fixture
    async def site(self, make_site: MakeSite) -> Site:
        return await make_site(Scripted(hold=Gate()))

    async def test_of_two_hundred_sockets(self, make_site: MakeSite) -> None:
        site = await make_site()
        sockets = [await site.viewer() for _ in range(200)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        closing = asyncio.create_task(site.server.close())
        assert set(await asyncio.gather(*(socket.closed() for socket in sockets))) == {1001}
        await closing
        assert loop.time() - began < 2

    async def test_of_a_viewer_that_has_stopped_reading(self, make_site: MakeSite) -> None:
        site = await make_site()
        await site.viewer()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await site.server.close()
        assert loop.time() - began < 6
