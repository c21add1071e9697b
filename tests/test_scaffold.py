"""`new-executor` writes a package that installs, passes its own tests and runs on a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from aosui.scaffold import new_executor

HERE = Path(__file__).resolve().parent.parent


def test_all_of_a_package_is_written(tmp_path: Path) -> None:
    top = new_executor("my-build", tmp_path)
    assert top == tmp_path / "aosui-my-build"
    written = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    assert written == {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/aosui_my_build/__init__.py",
        "src/aosui_my_build/py.typed",
        "tests/test_executor.py",
    }
    entry_point = 'my-build = "aosui_my_build:MyBuildExecutor"'
    assert entry_point in (top / "pyproject.toml").read_text()
    assert not [path for path in written if "$" in (top / path).read_text()]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "no name"),
        ("Deploy", "lower-case"),
        ("2fast", "a letter first"),
        ("a--b", "single hyphens"),
        ("a-", "single hyphens"),
        ("a_b", "single hyphens"),
        ("../up", "no name"),
        ("a\nb", "no name"),
        ("x" * 41, "at most 40"),
        ("aosui-deploy", "say 'deploy'"),
        ("shell", "an executor of aosui's own"),
    ],
)
def test_bad_names(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        new_executor(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "aosui-deploy").mkdir()
    new_executor("deploy", tmp_path)
    before = (tmp_path / "aosui-deploy" / "README.md").read_text()
    with pytest.raises(FileExistsError, match="is not empty"):
        new_executor("deploy", tmp_path)
    assert (tmp_path / "aosui-deploy" / "README.md").read_text() == before
    (tmp_path / "aosui-lint").write_text("a file")
    with pytest.raises(NotADirectoryError):
        new_executor("lint", tmp_path)


def run(*argv: str | Path, cwd: Path) -> str:
    """Run a command to its good end, without a network, and return what it says."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "PYTEST", "COV", "AOSUI"))
    }
    environment |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment |= {"XDG_STATE_HOME": str(cwd / ".state"), "XDG_CONFIG_HOME": str(cwd / ".config")}
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """
    Make a virtual environment with an aosui of its own, and return its Python.

    Everything else is seen there as it is installed here, so that no network is needed.
    """
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    purelib = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path
    )
    (Path(purelib.strip()) / "here.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    source = tmp_path / "source"
    shutil.copytree(HERE / "aosui", source / "aosui")
    for name in ("LICENSE", "README.md", "_aosui_pytest.py", "pyproject.toml"):
        shutil.copy(HERE / name, source)
    install(python, source, cwd=tmp_path)
    return python


def install(python: Path, package: Path, *, cwd: Path) -> None:
    options = ("-q", "--no-deps", "--no-build-isolation", "--ignore-installed")
    run(python, "-m", "pip", "install", *options, package, cwd=cwd)


@pytest.mark.slow
def test_a_package_installs_passes_its_tests_and_runs_on_a_server(
    tmp_path: Path, fresh: Path
) -> None:
    assert "aosui-my-build" in run(fresh, "-m", "aosui", "new-executor", "my-build", cwd=tmp_path)
    top = tmp_path / "aosui-my-build"
    install(fresh, top, cwd=tmp_path)
    for package in ("aosui", "aosui_my_build"):
        where = run(fresh, "-c", f"import {package} as m; print(m.__file__)", cwd=tmp_path)
        assert Path(where.strip()).is_relative_to(tmp_path / "venv")
    assert "4 passed" in run(fresh, "-m", "pytest", "-q", cwd=top)
    assert "no issues found" in run(fresh, "-m", "mypy", cwd=top)
    run(sys.executable, "-m", "ruff", "check", "--isolated", cwd=top)
    run(sys.executable, "-m", "ruff", "format", "--isolated", "--diff", cwd=top)
    listed = run(fresh, "-m", "aosui", "executors", cwd=tmp_path)
    assert re.search(r"my-build +aosui-my-build +0\.1\.0 +ok", listed)
    site = tmp_path / "site"
    site.mkdir()
    (site / "poem.txt").write_text("one\ntwo\nthree\n")
    (site / "other.py").write_text("\n")
    ran = run(
        fresh, "-m", "aosui", "run", site, "my-build:count", "-p", "pattern=*.txt", cwd=tmp_path
    )
    assert "poem.txt: 3" in ran
    assert "other.py" not in ran
