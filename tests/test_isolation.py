"""What an isolated executor does harms nobody else; the walls around its process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aosui import Limits
from aosui.errors import WorkflowNotFound
from aosui.executors import Executors
from aosui.isolation import IsolatedExecutor
from aosui.plugins import check_plugins, load_plugins
from aosui.values import Project

from .floor import SECONDS, Floor, eventually, laid, point

ISOLATED = {"isolation": "process"}
FOUND = [
    point("b", "tests.both_ways:Behaviours"),
    point("other", "tests.both_ways:Behaviours"),
    point("inside", "tests.both_ways:Behaviours"),
]
OPTIONS = {"b": ISOLATED, "other": ISOLATED}


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Floor]:
    async with laid(tmp_path, FOUND, OPTIONS) as floor:
        yield floor


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Path]:
    """A directory to import from."""
    folder = tmp_path / "modules"
    folder.mkdir()
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def pid_of(floor: Floor, executor: str = "b") -> int:
    return int((await floor.run(f"{executor}:tell_pid"))["result"])


async def test_one_process_an_executor(floor: Floor) -> None:
    pid = await pid_of(floor)
    assert pid == await pid_of(floor)
    assert len({pid, await pid_of(floor, "other"), os.getpid()}) == 3
    assert await pid_of(floor, "inside") == os.getpid()


async def test_a_process_starts_at_first_use(tmp_path: Path, modules: Path) -> None:
    (modules / "aosui_marks.py").write_text(
        "import pathlib; pathlib.Path(__file__).with_suffix('.mark').touch()\n"
        "from tests.both_ways import Behaviours\n"
    )
    mark = modules / "aosui_marks.mark"
    found = [point("b", "aosui_marks:Behaviours")]
    async with laid(tmp_path, found, {"b": ISOLATED}) as floor:
        assert not mark.exists()
        await pid_of(floor)
        assert mark.exists()


async def test_it_ends_with_the_server(tmp_path: Path) -> None:
    async with laid(tmp_path, FOUND, OPTIONS) as floor:
        pid = await pid_of(floor)
        assert alive(pid)
    await eventually(lambda: not alive(pid))


async def test_it_and_its_children_die_with_a_killed_server(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.isolated_server", str(tmp_path), stdout=-1
    )
    assert server.stdout is not None
    pids = json.loads(await asyncio.wait_for(server.stdout.readline(), SECONDS))
    assert len(pids) == 25
    assert all(alive(pid) for pid in pids)
    server.kill()
    await server.wait()
    await eventually(lambda: not any(alive(pid) for pid in pids), seconds=6.0)


async def test_a_crash_fails_its_runs_and_the_next_finds_it_restarted(floor: Floor) -> None:
    pid = await pid_of(floor)
    waiting = await floor.start("b:wait")
    others = [await floor.start("other:wait"), await floor.start("inside:wait")]
    for run_id in (waiting, *others):
        await floor.said(run_id, "waiting")
    run = await floor.run("b:kill_itself")
    crash = {
        "code": "executorCrashed",
        "message": "the executor's process was killed by SIGKILL (Killed)",
        "retryable": True,
        "details": {"signal": "SIGKILL"},
    }
    assert (run["state"], run["error"]) == ("failed", crash)
    run = await floor.ended(waiting)
    assert (run["state"], run["error"]) == ("failed", crash)
    assert await pid_of(floor) not in (pid, os.getpid())
    for run_id in others:
        assert (await floor.opened.runner.status(run_id)).state == "running"


async def test_what_was_said_before_a_crash_is_kept(floor: Floor) -> None:
    run = await floor.run("b:leave")
    assert run["error"]["code"] == "executorCrashed"
    assert run["error"]["message"] == "the executor's process exited with 3"
    assert run["error"]["details"] == {"exitCode": 3}
    assert floor.text(run["runId"]) == "last words\n"


async def test_an_endless_loop_harms_its_own_runs_only(tmp_path: Path) -> None:
    async with laid(tmp_path, FOUND, OPTIONS, limits=Limits(cancel_seconds=0.5)) as floor:
        pid = await pid_of(floor)
        beside = await floor.start("b:wait")
        await floor.said(beside, "waiting")
        blocking = await floor.start("b:block")
        await floor.said(blocking, "blocking")
        for executor in ("other", "inside"):
            async with asyncio.timeout(5):
                assert (await floor.run(f"{executor}:say"))["state"] == "succeeded"
        await floor.opened.runner.cancel(blocking)
        run = await floor.ended(blocking)
        assert (run["state"], run["error"]["code"]) == ("cancelled", "executorAbandoned")
        run = await floor.ended(beside)
        assert (run["state"], run["error"]["code"]) == ("failed", "executorCrashed")
        assert "another of its runs did not end" in run["error"]["message"]
        await eventually(lambda: not alive(pid))
        assert await pid_of(floor) != pid


async def test_stubborn_children_are_ended_with_it(tmp_path: Path) -> None:
    async with laid(tmp_path, FOUND, OPTIONS) as floor:
        run_id = await floor.start("b:have_stubborn_children")
        pids = (await floor.until(lambda event: event.get("name") == "b.children"))["data"]
        assert len(pids) == 24
        os.kill(await pid_of(floor), signal.SIGKILL)
        assert (await floor.ended(run_id))["error"]["code"] == "executorCrashed"
        assert (await floor.run("b:say"))["state"] == "succeeded"
        await eventually(lambda: not any(alive(pid) for pid in pids), seconds=6.0)


async def test_a_flood_of_prints_is_no_harm(floor: Floor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aosui")
    assert (await floor.run("b:say"))["state"] == "succeeded"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = await floor.run("b:print_a_flood")
    assert (run["state"], run["result"]) == ("succeeded", "printed")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024
    lines = [record.getMessage() for record in caplog.records]
    assert any("first printed line" in line for line in lines)
    assert len(lines) < 1000


async def test_garbage_on_the_pipe_ends_the_process(floor: Floor) -> None:
    assert (await floor.run("b:say"))["state"] == "succeeded"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    other = await floor.start("other:wait")
    await floor.said(other, "waiting")
    run = await floor.run("b:write_garbage_everywhere")
    assert (run["state"], run["error"]["code"]) == ("failed", "executorCrashed")
    assert "no message" in run["error"]["message"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert (await floor.opened.runner.status(other)).state == "running"
    assert (await floor.run("b:say"))["state"] == "succeeded"


async def test_the_servers_token_is_not_in_its_environment(tmp_path: Path) -> None:
    assert "AOSUI_TOKEN" not in os.environ
    os.environ["AOSUI_TOKEN"] = "a-secret-of-the-server"
    try:
        async with laid(tmp_path, FOUND, OPTIONS) as floor:
            environment = (await floor.run("b:tell_environment"))["result"]
    finally:
        del os.environ["AOSUI_TOKEN"]
    assert list(environment) == ["AOSUI_PROCESS"]


async def test_a_killed_reaper_leaves_nothing(floor: Floor) -> None:
    run_id = await floor.start("b:have_stubborn_children")
    pids = (await floor.until(lambda event: event.get("name") == "b.children"))["data"]
    pid = await pid_of(floor)
    reaper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert reaper != os.getpid()
    os.kill(reaper, signal.SIGKILL)
    assert (await floor.ended(run_id))["error"]["code"] == "executorCrashed"
    await eventually(lambda: not any(alive(one) for one in (pid, *pids)))


# -- what cannot start


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (
            "import no_such_module",
            "broken",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("raise SystemExit(4)", "broken", "cannot be imported: SystemExit: 4"),
        (
            "import os; os._exit(7)",
            "broken",
            "its process exited with 7 before it was ready",
        ),
        (
            "import os; os.abort()",
            "broken",
            "its process was killed by SIGABRT (Aborted) before it was ready",
        ),
        (
            "import os, sys; print('no licence', file=sys.stderr, flush=True); os._exit(7)",
            "broken",
            "its process exited with 7 before it was ready: no licence",
        ),
        (
            "class Broken:\n def __init__(self): raise ValueError('no key')",
            "broken",
            "cannot be constructed: ValueError: no key",
        ),
        (
            "from tests.both_ways import Behaviours\nclass Broken(Behaviours): api_version = 2",
            "incompatible",
            "it is written for api_version 2, this is 1",
        ),
        (
            "class Broken:\n def workflows(self, project): 1\n async def execute(self, r, c): 1",
            "broken",
            "its workflows is not an async method",
        ),
    ],
)
async def test_what_cannot_start_says_why(
    tmp_path: Path, modules: Path, code: str, status: str, reason: str
) -> None:
    (modules / "aosui_broken.py").write_text(code)
    found = [point("broken", "aosui_broken:Broken"), FOUND[0]]
    async with laid(tmp_path, found, {"broken": ISOLATED, "b": ISOLATED}) as floor:
        plugin = floor.executors.plugins["broken"]
        assert plugin.status == "ok"
        with pytest.raises(WorkflowNotFound) as refused:
            await floor.start("broken:any")
        assert reason in refused.value.message
        assert plugin.status == status
        assert plugin.reason.startswith(reason)
        lists, errors = await floor.executors.workflows(floor.opened.project, 10.0)
        assert errors["broken"].startswith(reason)
        assert len(lists["b"]) > 1


async def test_a_run_whose_process_cannot_start_any_more_says_why(
    tmp_path: Path, modules: Path
) -> None:
    module = modules / "aosui_fading.py"
    module.write_text("from tests.both_ways import Behaviours")
    limits = Limits(runs=1)
    found = [point("f", "aosui_fading:Behaviours")]
    async with laid(tmp_path, found, {"f": ISOLATED}, limits=limits) as floor:
        pid = await pid_of(floor, "f")
        waiting = await floor.start("f:wait")
        await floor.said(waiting, "waiting")
        queued = await floor.start("f:tell_pid")
        module.write_text("import no_such_module  # it was good when the run was asked for")
        os.kill(pid, signal.SIGKILL)
        assert (await floor.ended(waiting))["error"]["code"] == "executorCrashed"
        run = await floor.ended(queued)
        assert (run["state"], run["error"]["code"]) == ("failed", "executorBroken")
        assert "no_such_module" in run["error"]["message"]
        assert run["retryable"] is True


async def test_a_plugin_that_was_mended_is_used(
    modules: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = modules / "aosui_mended.py"
    module.write_text("import no_such_module")
    executor = IsolatedExecutor("m", "aosui_mended:Behaviours", {})
    executors = Executors({"m": executor})
    project = Project("p", "p", tmp_path)
    await check_plugins(executors)
    assert executors.plugins["m"].status == "broken"
    assert "no_such_module" in executors.plugins["m"].reason
    module.write_text("from tests.both_ways import Behaviours  # mended")
    async with asyncio.timeout(SECONDS):
        errors = {"m": ""}
        while errors:
            _, errors = await executors.workflows(project, 10.0)
            await asyncio.sleep(0.2)
    assert (executors.plugins["m"].status, executors.plugins["m"].reason) == ("ok", "")
    await executors.close()


async def test_options_reach_it_and_wrong_ones_are_said(tmp_path: Path) -> None:
    options: dict[str, dict[str, object]]
    options = {"b": {**ISOLATED, "no_such_option": 1}, "l": {**ISOLATED, "kind": "says why"}}
    found = [FOUND[0], point("l", "tests.both_ways:Lister")]
    executors = await load_plugins(options, found=found)
    await check_plugins(executors)
    assert executors.plugins["l"].status == "ok"
    assert executors.plugins["b"].status == "broken"
    assert "no_such_option" in executors.plugins["b"].reason
    await executors.close()


async def test_options_that_are_no_json_and_unknown_isolations_are_said() -> None:
    options: dict[str, dict[str, object]]
    options = {"b": {**ISOLATED, "closed": object()}, "other": {"isolation": "container"}}
    executors = await load_plugins(options, found=FOUND)
    assert executors.plugins["b"].status == "broken"
    assert "configuration" in executors.plugins["b"].reason
    assert executors.plugins["other"].status == "broken"
    assert executors.plugins["other"].reason == (
        "isolation must be \"process\" or left out, not 'container'"
    )
    assert executors.plugins["inside"].status == "ok"
    assert executors.plugins["inside"].executor is not None
    await executors.close()
