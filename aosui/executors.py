"""Executors: the protocol that plugins follow, and finding and judging the installed ones."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, Protocol

from attrs import define, field

from aosui._logging import logger
from aosui.channel import ProjectChannel
from aosui.errors import ExecutorError, WorkflowNotFound
from aosui.values import Project, Run, Workflow

__all__ = ["API_VERSION", "GROUP", "Executor", "Executors", "IncompleteWorkflows", "Plugin"]

GROUP = "aosui.executors"
API_VERSION = 1
IMPORT_SECONDS = 5.0
CLOSE_SECONDS = 5.0


class Executor(Protocol):
    """
    What a plugin provides; no base class is needed.

    `api_version = 1` is expected of the class. `async def close(self) -> None` is optional and
    awaited at shutdown.
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


@define
class Plugin:
    """
    One executor and what is known about it.

    `status` is ok, broken, incompatible or duplicate; `reason` says why it is not ok.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "broken", "incompatible", "duplicate"] = "ok"
    reason: str = ""
    executor: Executor | None = field(default=None, repr=False)
    blocked: Mapping[str, Any] | None = None


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
        for name, executor in (instances or {}).items():
            module = type(executor).__module__.partition(".")[0]
            self.plugins[name] = _judge(Plugin(name, module), type(executor), executor)

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
        `import_seconds` is reported as broken until it has ended, and used from then on.
        """
        executors = cls()
        options = options or {}
        points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=GROUP) if found is None else found:
            points.setdefault(point.name, []).append(point)
        loads: list[asyncio.Task[None]] = []
        for name, same in sorted(points.items()):
            plugin = Plugin(name, *_distribution(same[0]))
            executors.plugins[name] = plugin
            if len({_distribution(point) for point in same}) > 1:
                plugin.status = "duplicate"
                dists = ", ".join(sorted(" ".join(_distribution(point)) for point in same))
                plugin.reason = f"several distributions provide it: {dists}; uninstall all but one"
                continue
            table = dict(options.get(name, {}))
            isolation = table.pop("isolation", None)
            if isolation == "process" and isolate is not None:
                _construct(plugin, same[0], partial(isolate, name, same[0].value, table))
                continue
            plugin.status = "broken"
            plugin.reason = f"its import has not ended after {import_seconds:g} s"
            loads.append(asyncio.create_task(_load(plugin, same[0], table)))
        for name in options:
            if name not in points:
                executors.plugins[name] = Plugin(
                    name, status="broken", reason="configured, but no installed plugin has the name"
                )
        if loads:
            await asyncio.wait(loads, timeout=import_seconds)
        for plugin in executors.plugins.values():
            if plugin.status != "ok":
                logger.warning(
                    "executor is not usable",
                    code=plugin.status,
                    executor=plugin.name,
                    distribution=plugin.distribution,
                    version=plugin.version,
                    reason=plugin.reason,
                )
        return executors

    def adopt(self, others: Executors) -> None:
        """Take over what another collection has found."""
        self.plugins.update(others.plugins)

    def get(self, name: str) -> Executor | None:
        """Return a usable executor."""
        plugin = self.plugins.get(name)
        return plugin.executor if plugin is not None and plugin.status == "ok" else None

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
        for name, (listed, reason) in zip(names, answers, strict=True):
            lists[name] = listed
            if reason:
                errors[name] = reason
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
        listed, reason = await self._ask(executor_name, project, seconds)
        for workflow in listed:
            if workflow.name == name:
                return executor_name, executor, workflow
        if reason:
            raise WorkflowNotFound(
                f"executor {executor_name!r} cannot list its workflows: {reason}"
            )
        raise WorkflowNotFound(f"executor {executor_name!r} has no workflow {name[:64]!r} here")

    async def close(self) -> None:
        """Close every executor that wants it; one that fails or hangs harms no other."""
        closing: list[asyncio.Task[None]] = []
        for plugin in self.plugins.values():
            close = getattr(plugin.executor, "close", None)
            if close is not None:
                closing.append(asyncio.create_task(_close(plugin.name, close)))
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)

    async def _ask(self, name: str, project: Project, seconds: float) -> _Listed:
        executor = self.get(name)
        assert executor is not None
        task = asyncio.create_task(_list(executor, project))
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            task.cancel()
            return [], f"its workflows() did not answer within {seconds:g} s"
        listed, reason = (
            ([], "its workflows() was cancelled") if task.cancelled() else task.result()
        )
        if reason:
            logger.warning("executor cannot list its workflows", executor=name, reason=reason)
        return listed, reason


_Listed = tuple[list[Workflow], str]
"""An executor's workflows, and what it says is wrong."""


async def _list(executor: Executor, project: Project) -> _Listed:
    reason = ""
    try:
        given: list[object] = list(await executor.workflows(project))
    except asyncio.CancelledError:
        raise
    except IncompleteWorkflows as error:
        given, reason = list(error.workflows), error.message
    except ExecutorError as error:
        return [], error.message
    except BaseException as error:
        logger.warning("workflows() failed", exc_info=error)
        return [], _in_words(error)
    workflows = [workflow for workflow in given if isinstance(workflow, Workflow)]
    if len(workflows) != len(given):
        return [], "its workflows() gave something that is no Workflow"
    names = [workflow.name for workflow in workflows]
    if len(set(names)) != len(names):
        return [], "its workflows() gave two workflows of one name"
    return workflows, reason


async def _load(plugin: Plugin, point: EntryPoint, options: Mapping[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(outcome: object) -> None:
        if not done.done():
            done.set_result(outcome)

    def work() -> None:
        try:
            outcome: object = (point.load(),)
        except BaseException as error:
            outcome = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, outcome)

    threading.Thread(target=work, name=f"aosui-import-{plugin.name}", daemon=True).start()
    outcome = await done
    if isinstance(outcome, BaseException):
        plugin.reason = f"cannot be imported: {_in_words(outcome)}"
        return
    _construct(plugin, outcome[0], lambda: outcome[0](**options))


def _construct(plugin: Plugin, kind: object, make: Callable[[], Executor]) -> None:
    try:
        executor = make()
    except BaseException as error:
        plugin.status = "broken"
        plugin.reason = f"cannot be constructed: {_in_words(error)}"
        return
    _judge(plugin, kind, executor)


def _judge(plugin: Plugin, kind: object, executor: Executor) -> Plugin:
    version = getattr(executor, "api_version", getattr(kind, "api_version", API_VERSION))
    if not isinstance(version, int) or version != API_VERSION:
        plugin.status = "incompatible"
        plugin.reason = f"it is written for api_version {version!r}, this is {API_VERSION}"
        return plugin
    for method in ("workflows", "execute"):
        if not inspect.iscoroutinefunction(getattr(executor, method, None)):
            plugin.status = "broken"
            plugin.reason = f"its {method} is not an async method"
            return plugin
    plugin.status, plugin.reason, plugin.executor = "ok", "", executor
    return plugin


async def _close(name: str, close: Callable[[], Any]) -> None:
    try:
        await close()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        logger.warning("executor failed to close", executor=name, exc_info=error)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return (dist.name, dist.version) if dist is not None else ("", "")


def _in_words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
