"""Every example does what the tutorial says, and keeps the rules."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from aosui import ExecutorError, Run
from aosui.testing import RecordingChannel, check_executor

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_countdown_and_its_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_countdown.py"],
        cwd=EXAMPLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.fixture
def files(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "deep" / "b.txt").write_text("b")
    return root


async def test_the_archive(tmp_path: Path, files: Path) -> None:
    executor = load("archive").ArchiveExecutor(directory=str(tmp_path))
    channel = RecordingChannel(root=files)
    result = await executor.execute(Run("run", "pack", {}), channel)
    assert result["files"] == 2
    assert channel.progresses == [(0, 2, "a.txt"), (1, 2, "b.txt"), (2, 2, "")]
    assert (tmp_path / "project.zip").stat().st_size == result["bytes"]


async def test_a_cancelled_archive_is_removed(tmp_path: Path, files: Path) -> None:
    executor = load("archive").ArchiveExecutor(directory=str(tmp_path))
    channel = RecordingChannel(root=files)
    channel.fill()
    running = asyncio.create_task(executor.execute(Run("run", "pack", {}), channel))
    await channel.until(lambda: channel.waiting)
    assert (tmp_path / "project.zip").exists()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not (tmp_path / "project.zip").exists()


async def test_the_archive_keeps_the_rules(tmp_path: Path, files: Path) -> None:
    archive = load("archive").ArchiveExecutor
    await check_executor(lambda: archive(directory=str(tmp_path)), files)


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(
        "import unittest\n"
        "class Test(unittest.TestCase):\n"
        "    def test_one(self): pass\n"
        "    def test_two(self): pass\n"
    )
    (tmp_path / "check_it.py").write_text(
        "import unittest\n"
        "class Test(unittest.TestCase):\n"
        "    def test_three(self): self.fail('three')\n"
    )
    return tmp_path


async def test_unittests(tested: Path) -> None:
    executor = load("unittests").UnittestExecutor()
    channel = RecordingChannel(root=tested)
    result = await executor.execute(Run("run", "unittest", {"pattern": "test*.py"}), channel)
    assert result == {"passed": 2}
    assert [progress.message for progress in channel.progresses] == ["test_one", "test_two"]
    assert "Ran 2 tests" in channel.text


async def test_failing_unittests(tested: Path) -> None:
    executor = load("unittests").UnittestExecutor()
    channel = RecordingChannel(root=tested)
    with pytest.raises(ExecutorError) as caught:
        await executor.execute(Run("run", "unittest", {"pattern": "check*.py"}), channel)
    assert (caught.value.code, caught.value.retryable) == ("testsFailed", True)
    assert "AssertionError: three" in channel.text


async def test_unittests_keep_the_rules(tested: Path) -> None:
    await check_executor(load("unittests").UnittestExecutor, tested)


YES = {"go": "yes", "where": ["staging", "production"], "notes": "all"}


async def test_a_release(tmp_path: Path) -> None:
    executor = load("release").ReleaseExecutor()
    channel = RecordingChannel(root=tmp_path, answers=YES)
    result = await executor.execute(Run("run", "release", {"version": "2.0"}), channel)
    assert result == {"released": "2.0"}
    assert channel.text == "2.0 is on staging: all\n2.0 is on production: all\n"
    assert channel.events == [("released", {"version": "2.0", "where": ["staging", "production"]})]


async def test_a_refused_release(tmp_path: Path) -> None:
    executor = load("release").ReleaseExecutor()
    channel = RecordingChannel(root=tmp_path, answers=YES | {"go": "no"})
    with pytest.raises(ExecutorError) as caught:
        await executor.execute(Run("run", "release", {"version": "2.0"}), channel)
    assert caught.value.code == "refused"
    assert not channel.outputs


async def test_a_release_keeps_the_rules(tmp_path: Path) -> None:
    await check_executor(load("release").ReleaseExecutor, tmp_path, answers=YES)


async def test_the_console(aosui_channel: RecordingChannel) -> None:
    executor = load("console").ConsoleExecutor()
    for text in ("1\n", "two\n", "2.5\n", "\n"):
        aosui_channel.send_input(text)
    result = await executor.execute(Run("run", "sum", {}), aosui_channel)
    assert result == {"total": 3.5}
    assert aosui_channel.text == "Numbers, please.\n= 1\n'two' is no number\n= 3.5\n"


async def test_the_console_keeps_the_rules(tmp_path: Path) -> None:
    await check_executor(load("console").ConsoleExecutor, tmp_path, timeout=0.2)


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    for name, sql in {"1.sql": "CREATE", "2.sql": "DROP", "3.sql": "CREATE"}.items():
        (tmp_path / "migrations" / name).write_text(sql)
    return tmp_path


async def test_a_retried_migration_goes_on(migrations: Path) -> None:
    executor = load("migration").MigrationExecutor()
    channel = RecordingChannel(root=migrations)
    with pytest.raises(ExecutorError, match=r"2\.sql drops something"):
        await executor.execute(Run("run", "migrate", {}), channel)
    assert channel.checkpoints == [["1.sql"]]
    (migrations / "migrations" / "2.sql").write_text("CREATE")
    checkpoint: Any = channel.checkpoints[-1]
    retry = Run("next", "migrate", {}, attempt=2, retry_of="run", checkpoint=checkpoint)
    channel = RecordingChannel(root=migrations)
    assert await executor.execute(retry, channel) == {"applied": 3}
    assert channel.text == "2.sql: applied\n3.sql: applied\n"


async def test_migrations_keep_the_rules(migrations: Path) -> None:
    await check_executor(load("migration").MigrationExecutor, migrations)
