"""Executors: the protocol that plugins follow, and finding and judging the installed ones."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, Protocol

from attrs import define, field, frozen

from aosui._logging import logger
from aosui.blocking import in_thread
from aosui.channel import ProjectChannel
from aosui.errors import ExecutorError, WorkflowNotFound
from aosui.failure import in_words
from aosui.values import Project, Run, Workflow

__all__ = [
    "API_VERSION",
    "GROUP",
    "TASK_PREFIX",
    "Becomes",
    "BrokenExecutor",
    "Executor",
    "Executors",
    "IncompleteWorkflows",
    "Isolate",
    "Listing",
    "Plugin",
    "list_workflows",
]

GROUP: Final = "aosui.executors"
API_VERSION: Final = 1
IMPORT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 5.0
TASK_PREFIX: Final = "executor "
"""A task in which an executor's own code runs is named so, and then as the executor."""


class Executor(Protocol):
    """
    What a plugin provides; no base class is needed.

    `api_version = 1` is expected of the class. Optional are `async def close(self) -> None`,
    awaited at shutdown, and, for an executor that can end its runs by force, `def
    run_abandoned(self, run_id: str) -> None`, called when a cancelled run does not end.
    """

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        """
        List what can be run in a project; has 5 seconds, is asked at each listing and start.

        What it raises is reported; `IncompleteWorkflows` lists some and reports the rest.
        """

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        """
        Do the work: what it returns is the run's result (JSON), what it raises fails the run.

        A cancel is one `CancelledError` at the current await.
        """


class IncompleteWorkflows(ExecutorError):
    """
    Raise it in `workflows()` to say what is wrong and yet list what there is.

    `workflows` are listed and can be started; the message is reported beside them.
    """

    def __init__(self, message: str, workflows: Sequence[Workflow]) -> None:
        super().__init__(message)
        self.workflows = workflows


Becomes = Literal["broken", "incompatible"]


class BrokenExecutor(ExecutorError):
    """
    Raised by an executor that turns out to be unusable as it is.

    `becomes` is the plugin's status, with the message as its reason, until it lists workflows.
    """

    def __init__(self, message: str, *, becomes: Becomes = "broken") -> None:
        super().__init__(message, code="executorBroken", retryable=True)
        self.becomes = becomes


@define
class Plugin:
    """
    One executor and what is known about it.

    `status` is ok, broken, incompatible or duplicate; `reason` says why it is not ok. `blocked` is
    the last time that it blocked the event loop, as `GET /executors` shows it.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "broken", "incompatible", "duplicate"] = "ok"
    reason: str = ""
    executor: Executor | None = field(default=None, repr=False)
    blocked: Mapping[str, Any] | None = None

    def take(self, make: Callable[[], Any], kind: object = None) -> None:
        """Make the executor and judge it, whatever it does; `kind` is its class or factory."""
        try:
            executor = make()
        except BaseException as error:
            self.status, self.reason = "broken", f"cannot be constructed: {in_words(error)}"
            return
        try:
            version = getattr(executor, "api_version", getattr(kind, "api_version", API_VERSION))
            methods = {name: getattr(executor, name, None) for name in ("workflows", "execute")}
        except BaseException as error:
            self.status, self.reason = "broken", f"cannot be looked at: {in_words(error)}"
            return
        if type(version) is not int or version != API_VERSION:
            self.status = "incompatible"
            self.reason = f"it is written for api_version {version!r}, this is {API_VERSION}"
            return
        for name, method in methods.items():
            if not inspect.iscoroutinefunction(method):
                self.status, self.reason = "broken", f"its {name} is not an async method"
                return
        self.status, self.reason, self.executor = "ok", "", executor

    def load(self, point: EntryPoint, options: Mapping[str, Any]) -> None:
        """Import what an entry point names, and make and judge the executor."""
        self._take_outcome(_import(point), options)

    async def load_in_thread(self, point: EntryPoint, options: Mapping[str, Any]) -> None:
        """Do the same with the import in a thread of its own: it may take long."""
        outcome = await in_thread(partial(_import, point), name=f"import {self.name}")
        self._take_outcome(outcome, options)

    def _take_outcome(self, outcome: object, options: Mapping[str, Any]) -> None:
        if isinstance(outcome, _NotImported):
            self.status, self.reason = "broken", outcome.reason
            return
        factory: Any = outcome
        self.take(lambda: factory(**options), factory)

    def report(self) -> None:
        """Write one line about it into the log."""
        words = {
            "executor": self.name,
            "distribution": self.distribution,
            "version": self.version,
        }
        if self.status == "ok":
            logger.info("executor is usable", **words)
        else:
            logger.warning("executor is not usable", code=self.status, **words, reason=self.reason)


Isolate = Callable[[str, str, Mapping[str, Any]], Executor]
"""Makes the executor that runs `(name, entry point value, options)` in a process of its own."""


class Executors:
    """
    The executors of one app, by name.

    Built from instances (`Executors({"name": executor})`) or from the installed plugins by `load`.
    What is wrong with one plugin is kept with it and harms no other.
    """

    def __init__(self, instances: Mapping[str, Executor] | None = None) -> None:
        self.plugins: dict[str, Plugin] = {}
        self.importing: list[asyncio.Task[None]] = []
        for name, executor in (instances or {}).items():
            plugin = Plugin(name, type(executor).__module__.partition(".")[0])
            plugin.take(partial(lambda given: given, executor))
            self.plugins[name] = plugin

    @classmethod
    async def load(
        cls,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        found: Iterable[EntryPoint] | None = None,
        isolate: Isolate | None = None,
        import_seconds: float = IMPORT_SECONDS,
    ) -> Executors:
        """
        Import and construct the plugins of the entry point group `aosui.executors`.

        `options` are the config tables by executor name. One whose import takes longer than
        `import_seconds` is reported as broken until it has ended, and used from then on. Those with
        `isolation = "process"` are made by `isolate` and not imported here.
        """
        executors = cls()
        options = options or {}
        points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=GROUP) if found is None else found:
            points.setdefault(point.name, []).append(point)
        imports: dict[asyncio.Task[None], Plugin] = {}
        for name, same in sorted(points.items()):
            point = same[0]
            plugin = executors.plugins[name] = Plugin(name, *_distribution(point))
            table = dict(options.get(name, {}))
            isolation = table.pop("isolation", None)
            if len({(*_distribution(other), other.value) for other in same}) > 1:
                plugin.status = "duplicate"
                dists = ", ".join(sorted(" ".join(_distribution(other)) for other in same))
                plugin.reason = f"several distributions provide it: {dists}; uninstall all but one"
            elif isolation is None:
                plugin.status = "broken"
                plugin.reason = f"its import has not ended after {import_seconds:g} s"
                task = asyncio.create_task(
                    plugin.load_in_thread(point, table), name=f"{TASK_PREFIX}{name}"
                )
                imports[task] = plugin
            elif isolation != "process" or isolate is None:
                plugin.status = "broken"
                plugin.reason = f'isolation must be "process" or left out, not {isolation!r}'
                if isolation == "process":
                    plugin.reason = "executors cannot be isolated in this application"
            else:
                plugin.take(partial(isolate, name, point.value, table))
        for name in options:
            if name not in points:
                executors.plugins[name] = Plugin(
                    name, status="broken", reason="configured, but no installed plugin has the name"
                )
        if imports:
            await asyncio.wait(imports, timeout=import_seconds)
        for task, plugin in imports.items():
            if not task.done():
                task.add_done_callback(partial(_report_late, plugin))
                executors.importing.append(task)
        for plugin in executors.plugins.values():
            if plugin.status != "ok":
                plugin.report()
        return executors

    def adopt(self, others: Executors) -> None:
        """Take over what another collection has found."""
        self.plugins.update(others.plugins)
        self.importing += others.importing

    def get(self, name: str) -> Executor | None:
        """Return an executor that can be asked; None when its plugin cannot be used at all."""
        plugin = self.plugins.get(name)
        return plugin.executor if plugin is not None else None

    async def workflows(
        self, project: Project, seconds: float
    ) -> tuple[dict[str, list[Workflow]], dict[str, str]]:
        """
        Ask every usable executor for its workflows in a project, `seconds` each.

        Returns the lists by executor name, and what the executors say is wrong.
        """
        names = [name for name in self.plugins if self.get(name) is not None]
        lists: dict[str, list[Workflow]] = {}
        errors: dict[str, str] = {}
        answers = await asyncio.gather(*(self._ask(name, project, seconds) for name in names))
        for name, listing in zip(names, answers, strict=True):
            lists[name] = list(listing.workflows)
            if listing.problem:
                errors[name] = listing.problem
        return lists, errors

    async def workflow(
        self, project: Project, wire_name: str, seconds: float
    ) -> tuple[str, Executor, Workflow]:
        """Find a workflow by `<executor>:<name>`; raises `WorkflowNotFound` with the reason."""
        executor_name, _, name = wire_name.partition(":")
        executor = self.get(executor_name)
        if executor is None:
            plugin = self.plugins.get(executor_name)
            reason = f"executor {executor_name[:64]!r} is not installed"
            if plugin is not None:
                reason = f"executor {executor_name!r} is {plugin.status}: {plugin.reason}"
            raise WorkflowNotFound(reason)
        listing = await self._ask(executor_name, project, seconds)
        for workflow in listing.workflows:
            if workflow.name == name:
                return executor_name, executor, workflow
        if listing.problem:
            raise WorkflowNotFound(
                f"executor {executor_name!r} cannot list its workflows: {listing.problem}"
            )
        raise WorkflowNotFound(f"executor {executor_name!r} has no workflow {name[:64]!r} here")

    async def close(self) -> None:
        """Close every executor that wants it; one that fails or hangs harms no other."""
        for task in self.importing:
            task.cancel()
        closing: list[asyncio.Task[None]] = []
        for plugin in self.plugins.values():
            close = getattr(plugin.executor, "close", None)
            if close is not None:
                closing.append(
                    asyncio.create_task(
                        _close(plugin.name, close), name=f"{TASK_PREFIX}{plugin.name}"
                    )
                )
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)

    async def _ask(self, name: str, project: Project, seconds: float) -> Listing:
        plugin = self.plugins[name]
        assert plugin.executor is not None
        task = asyncio.create_task(
            list_workflows(plugin.executor, project), name=f"{TASK_PREFIX}{name}"
        )
        try:
            await asyncio.wait([task], timeout=seconds)
        finally:
            task.cancel()
        if not task.done():
            listing = Listing([], f"its workflows() did not answer within {seconds:g} s")
        elif task.cancelled():
            listing = Listing([], "its workflows() was cancelled")
        elif isinstance(error := task.exception(), BrokenExecutor):
            plugin.status, plugin.reason = error.becomes, error.message
            listing = Listing([], error.message)
        else:
            plugin.status, plugin.reason = "ok", ""
            listing = task.result()
        if listing.problem:
            logger.warning(
                "executor cannot list its workflows", executor=name, reason=listing.problem
            )
        return listing


@frozen
class Listing:
    """An executor's workflows in a project, and what it says is wrong."""

    workflows: Sequence[Workflow]
    problem: str = ""


async def list_workflows(executor: Executor, project: Project) -> Listing:
    """Ask an executor for its workflows; raises `BrokenExecutor` and CancelledError alone."""
    problem = ""
    try:
        given: list[object] = list(await executor.workflows(project))
    except (asyncio.CancelledError, BrokenExecutor):
        raise
    except IncompleteWorkflows as error:
        given, problem = list(error.workflows), error.message
    except ExecutorError as error:
        return Listing([], error.message)
    except BaseException as error:
        logger.warning("workflows() failed", exc_info=error)
        return Listing([], in_words(error))
    workflows = [workflow for workflow in given if isinstance(workflow, Workflow)]
    if len(workflows) != len(given):
        return Listing([], "its workflows() gave something that is no Workflow")
    names = [workflow.name for workflow in workflows]
    if len(set(names)) != len(names):
        return Listing([], "its workflows() gave two workflows of one name")
    return Listing(workflows, problem)


@frozen
class _NotImported:
    reason: str


def _import(point: EntryPoint) -> object:
    try:
        return point.load()
    except BaseException as error:
        return _NotImported(f"cannot be imported: {in_words(error)}")


def _report_late(plugin: Plugin, task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        plugin.report()


async def _close(name: str, close: Callable[[], Any]) -> None:
    try:
        await close()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        logger.warning("executor failed to close", executor=name, exc_info=error)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    dist: Any = point.dist
    try:
        return str(dist.name or ""), str(dist.version or "")
    except Exception:  # it has none, or its metadata are broken
        return "", ""
