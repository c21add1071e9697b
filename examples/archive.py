"""A blocking library, in a thread: the project as a zip file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

from attrs import define

from aosui import Project, ProjectChannel, Run, SyncChannel, Workflow, run_blocking


@define
class ArchiveExecutor:
    """
    Packs the files of a project.

    Its options are its attributes: `[executors.archive] directory = "/var/backups"`.
    """

    api_version = 1

    directory: str = "/tmp"

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return [Workflow("pack", title="Pack all files", timeout=600)]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        target = Path(self.directory, f"{channel.project.id}.zip")
        return await run_blocking(channel, pack, target)


def pack(channel: SyncChannel, target: Path) -> dict[str, object]:
    """Runs in a thread of its own; a cancel is raised by the next call on its channel."""
    root = channel.project.root
    files = sorted(path for path in root.rglob("*") if path.is_file() and path != target)
    try:
        with zipfile.ZipFile(target, "w") as archive:
            for done, path in enumerate(files):
                channel.progress(done, len(files), message=path.name)
                archive.write(path, path.relative_to(root))
            channel.progress(len(files), len(files))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return {"files": len(files), "bytes": target.stat().st_size}
