"""Installed plugins, good and bad: real distributions, loaded as a server loads them."""

from __future__ import annotations

import asyncio
import logging
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from aosui.executors import GROUP, IMPORT_SECONDS, Executors
from aosui.plugins import check_plugins, load_plugins

from .conftest import MakeSite
from .support import SECONDS, eventually

GOOD = """
from aosui import Workflow

class Good:
    api_version = 1

    async def workflows(self, project):
        return [Workflow("work")]

    async def execute(self, run, channel):
        await channel.output("worked")
        return "good"
"""


class SiteFolder:
    """A directory on sys.path, into which distributions are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        name: str,
        code: str,
        *,
        executor: str = "",
        value: str = "",
        version: str = "1.2.3",
        metadata: bool = True,
    ) -> None:
        """Install a distribution with one module and one executor."""
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        if metadata:
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            (info / "METADATA").write_text(text)
        line = f"{executor or module} = {value or module + ':Good'}"
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{line}\n")

    def found(self) -> list[EntryPoint]:
        return [
            point
            for distribution in distributions(path=[str(self.folder)])
            for point in distribution.entry_points
            if point.group == GROUP
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SiteFolder]:
    path = tmp_path / "site-packages"
    path.mkdir()
    before = set(sys.modules)
    sys.path.insert(0, str(path))
    yield SiteFolder(path)
    sys.path.remove(str(path))
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(path)):
            del sys.modules[name]


BAD: dict[str, tuple[str, str, str]] = {
    "bad-import": (
        "from aosui import NoSuchName",
        "broken",
        "cannot be imported: ImportError: cannot import name 'NoSuchName' from 'aosui'",
    ),
    "bad-syntax": ("def", "broken", "cannot be imported: SyntaxError: "),
    "bad-exit": ("import sys; sys.exit(3)", "broken", "cannot be imported: SystemExit: 3"),
    "bad-base": (
        "class Stop(BaseException): pass\nraise Stop('here')",
        "broken",
        "cannot be imported: Stop: here",
    ),
    "bad-attribute": ("Better = 1", "broken", "cannot be imported: AttributeError: "),
    "bad-constructor": (
        "class Good:\n def __init__(self): raise ValueError('no key')",
        "broken",
        "cannot be constructed: ValueError: no key",
    ),
    "bad-constructor-exit": (
        "class Good:\n def __init__(self): raise SystemExit",
        "broken",
        "cannot be constructed: SystemExit",
    ),
    "bad-version": (
        GOOD.replace("api_version = 1", "api_version = 2"),
        "incompatible",
        "it is written for api_version 2, this is 1",
    ),
    "bad-version-word": (
        GOOD.replace("api_version = 1", "api_version = '1'"),
        "incompatible",
        "it is written for api_version '1', this is 1",
    ),
    "bad-property": (
        GOOD.replace("api_version = 1", "api_version = property(lambda self: 1 / 0)"),
        "broken",
        "cannot be looked at: ZeroDivisionError: division by zero",
    ),
    "bad-method": (
        GOOD.replace("async def execute", "def execute").replace("await ", ""),
        "broken",
        "its execute is not an async method",
    ),
    "bad-thing": ("Good = 3", "broken", "cannot be constructed: TypeError: "),
}


@pytest.mark.parametrize("way", ["in the server", "isolated"])
async def test_a_bad_plugin_is_reported_and_the_others_work(
    folder: SiteFolder, make_site: MakeSite, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    for name, (code, _, _) in BAD.items():
        folder.install(name, code)
    folder.install("good-one", GOOD, executor="good")
    folder.install("first-twin", GOOD, executor="twin")
    folder.install("second-twin", GOOD, executor="twin", version="4.5.6")
    options = {
        point.name: {"isolation": "process"} for point in folder.found() if way == "isolated"
    }

    async def load() -> Executors:
        executors = await load_plugins({**options, "nobody": {}}, found=folder.found())
        await check_plugins(executors)
        return executors

    site = await make_site(executors=load)
    body = (await site.http("GET", "/api/executors")).body
    listed = {executor["name"]: executor for executor in body["executors"]}
    assert len(listed) == len(BAD) + 3
    for name, (_, status, reason) in BAD.items():
        shown = listed[name.replace("-", "_")]
        assert (shown["distribution"], shown["version"]) == (name, "1.2.3")
        assert shown["status"] == status
        assert shown["reason"].startswith(reason), shown
        if way == "in the server":
            lines = [r.getMessage() for r in caplog.records if f"'{name}'" in r.getMessage()]
            (line,) = (line for line in lines if "executor is not usable" in line)
            assert "1.2.3" in line
            assert reason.partition(": ")[0] in line
    twin = listed["twin"]
    assert twin["status"] == "duplicate"
    assert "first-twin 1.2.3, second-twin 4.5.6" in twin["reason"]
    assert listed["nobody"]["status"] == "broken"
    assert "no installed plugin" in listed["nobody"]["reason"]
    assert listed["good"] == {
        "name": "good",
        "distribution": "good-one",
        "version": "1.2.3",
        "status": "ok",
        "reason": "",
        "blocked": None,
    }
    reply = await site.http(
        "POST", f"/api/projects/{site.id}/runs", {"workflow": "good:work", "params": {}}
    )
    async with asyncio.timeout(SECONDS):
        await site.opened.runner.ended()
    assert (await site.opened.runner.status(reply.body["runId"])).result == "good"
    for name in (*BAD, "twin"):
        path = f"/api/projects/{site.id}/runs"
        workflow = f"{name.replace('-', '_')}:work"
        if way == "isolated" and name in BAD:
            continue  # they are asked again, for they may be mended meanwhile
        reply = await site.http("POST", path, {"workflow": workflow, "params": {}})
        assert reply.code == "workflowNotFound"


SLOW = """
import pathlib, time
gate = pathlib.Path(__file__).with_name("gate")
until = time.monotonic() + 30
while time.monotonic() < until and not gate.exists():
    time.sleep(0.01)
"""


async def test_a_slow_import_is_said_and_used_when_it_has_ended(
    folder: SiteFolder, make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "aosui")
    assert IMPORT_SECONDS < 10
    folder.install("slow-one", SLOW + GOOD, executor="slow")
    folder.install("slow-bad", SLOW + "import no_such_module", executor="bad")
    folder.install("good-one", GOOD, executor="good")
    site = await make_site(executors=lambda: Executors.load(found=folder.found(), import_seconds=1))
    plugins = site.registry.executors.plugins
    assert plugins["good"].status == "ok"
    for name in ("slow", "bad"):
        assert (plugins[name].status, plugins[name].reason) == (
            "broken",
            "its import has not ended after 1 s",
        )
    path, start = f"/api/projects/{site.id}/runs", {"workflow": "slow:work", "params": {}}
    assert (await site.http("POST", path, start)).code == "workflowNotFound"
    (folder.folder / "gate").touch()
    await eventually(lambda: plugins["slow"].status == "ok" and "1 s" not in plugins["bad"].reason)
    assert (await site.http("POST", path, start)).status == 202
    assert "no_such_module" in plugins["bad"].reason
    lines = [record.getMessage() for record in caplog.records]
    assert any("executor is usable" in line and "'slow'" in line for line in lines)
    assert any("not usable" in line and "no_such_module" in line for line in lines)


async def test_a_server_stops_while_an_import_hangs(
    folder: SiteFolder, make_site: MakeSite
) -> None:
    folder.install("slow-one", SLOW + GOOD, executor="slow")
    site = await make_site(
        executors=lambda: Executors.load(found=folder.found(), import_seconds=0.1), close=False
    )
    async with asyncio.timeout(5):
        await site.close()
    (folder.folder / "gate").touch()


async def test_a_distribution_that_is_found_twice_is_no_duplicate(folder: SiteFolder) -> None:
    folder.install("good-one", GOOD, executor="good")
    executors = await load_plugins(found=folder.found() * 2)
    assert executors.plugins["good"].status == "ok"


async def test_one_distribution_that_gives_a_name_twice_is_one(folder: SiteFolder) -> None:
    folder.install("good-one", GOOD, executor="good")
    other = EntryPoint("good", "good_one:Other", GROUP)
    executors = await load_plugins(found=[*folder.found(), other])
    assert executors.plugins["good"].status == "duplicate"


async def test_broken_metadata_stop_nobody(folder: SiteFolder) -> None:
    folder.install("good-one", GOOD, executor="good", metadata=False)
    executors = await load_plugins(found=folder.found())
    assert (executors.plugins["good"].status, executors.plugins["good"].version) == ("ok", "")


async def test_options_are_the_keywords_of_the_factory(folder: SiteFolder) -> None:
    code = GOOD + ("\ndef make(*, level):\n good = Good()\n good.level = level\n return good\n")
    folder.install("made-one", code, executor="made", value="made_one:make")
    executors = await load_plugins({"made": {"level": 3}}, found=folder.found())
    assert getattr(executors.get("made"), "level", None) == 3
    wrong = await load_plugins({"made": {"levle": 3}}, found=folder.found())
    assert wrong.get("made") is None
    assert "levle" in wrong.plugins["made"].reason
