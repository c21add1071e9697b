"""A server with the executor `faults` installed, and small file systems."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..cli.conftest import Cli, cli

__all__ = ["cli"]


@pytest.fixture
def house(cli: Cli, tmp_path: Path) -> Cli:
    """The command line with the executor `faults` beside `talk`."""
    plugin = tmp_path / "faults"
    info = plugin / "faults-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("executor.py"), plugin / "aosui_faults.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faults\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[aosui.executors]\nfaults = aosui_faults:FaultsExecutor\n"
    )
    cli.env["PYTHONPATH"] = f"{plugin}:{cli.env['PYTHONPATH']}"
    return cli


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)
