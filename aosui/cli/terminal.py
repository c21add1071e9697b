"""What `run` and `watch` show: output above, a bar for each active run below."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.ansi import AnsiDecoder
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from aosui.cli.safe import SafeText, plain
from aosui.client.fold import Frame
from aosui.events import FINAL_STATES

__all__ = ["Terminal"]

MARKS = {
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "interrupted": ("✗", "red"),
    "cancelled": ("⊘", "yellow"),
}
LONGEST_DATA = 500


class Terminal:
    """
    The terminal of one command.

    Of one run: its output goes where it went there, stdout or stderr, and what aosui says itself to
    stderr; a file or pipe gets the output as it is. Of several (`named`): all goes to stdout, line
    by line with the name of the run. A terminal gets safe text only, and bars below it.
    """

    def __init__(self, *, named: bool = False) -> None:
        self._console = Console(stderr=not named, highlight=False)
        self._named = named
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._titles: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._below,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()
        self.pause()

    @property
    def live(self) -> bool:
        """Whether there is a terminal to draw on."""
        return self._console.is_terminal

    def pause(self) -> None:
        """Take the bars away, so that somebody can type."""
        self._live.stop()

    def resume(self) -> None:
        """Show the bars again."""
        if self.live:
            self._live.start()

    def say(self, text: str, style: str = "") -> None:
        """Say something of aosui's own, in whole lines."""
        self._console.print(Text(text, style), soft_wrap=True)

    def output(self, event: Frame) -> None:
        """Show a `run.output`."""
        stream = self._streams.setdefault((event["runId"], event["stream"]), _Stream())
        target = sys.stdout if event["stream"] == "stdout" else sys.stderr
        if not self._named and not (self.live and target.isatty()):
            target.write(stream.safe(event["text"]) if target.isatty() else event["text"])
            target.flush()
            return
        for line in stream.feed(event["text"]):
            self._print_line(event["runId"], line)

    def event(self, event: Frame) -> None:
        """Show a `run.event` in one line."""
        data = json.dumps(event["data"], ensure_ascii=False)
        cut = plain(data)[:LONGEST_DATA]
        self._print_line(event["runId"], Text(f"{plain(event['name'])} {cut}", "dim"))

    def status(self, run: Frame) -> None:
        """Show the latest status of a run."""
        run_id, state = run["runId"], run["state"]
        title = self._titles[run_id] = plain(run["title"] or run["workflow"])
        if state in FINAL_STATES:
            self.flush(run_id)
            if run_id in self._bars:
                self._progress.remove_task(self._bars.pop(run_id))
            if self._states.get(run_id) != state:
                self._say_end(title, run)
        else:
            if not self.live and state not in ("queued", self._states.get(run_id)):
                self.say(f"{title}: {state}")
            progress = run["progress"] or {"current": 0, "total": None, "message": ""}
            said = plain(progress["message"]) or state
            if run_id not in self._bars:
                self._bars[run_id] = self._progress.add_task(title, total=None, said=said)
            bar = self._bars[run_id]
            if run["startedAt"] is not None:
                age = datetime.now(UTC) - datetime.fromisoformat(run["startedAt"])
                self._progress.tasks[self._progress.task_ids.index(bar)].start_time = (
                    self._progress.get_time() - age.total_seconds()
                )
            self._progress.update(
                bar,
                completed=progress["current"],
                total=progress["total"],
                said=said,
            )
        self._states[run_id] = state

    def flush(self, run_id: str | None = None) -> None:
        """Show lines that have not ended yet, of a run or of all."""
        for (of, _), stream in self._streams.items():
            if run_id in (None, of) and (line := stream.rest()) is not None:
                self._print_line(of, line)

    def _say_end(self, title: str, run: Frame) -> None:
        mark, style = MARKS[run["state"]]
        self.say(f"{mark} {title}: {run['state']}", style)
        if run["error"] is not None and run["state"] != "succeeded":
            self.say(f"  {plain(run['error']['message'])} ({plain(run['error']['code'])})", style)
        if run["result"] is not None:
            result = json.dumps(run["result"], ensure_ascii=False)
            self.say(f"  {plain(result)}", "dim")

    def _print_line(self, run_id: str, line: Text) -> None:
        if self._named:
            line = Text.assemble((f"{self._titles.get(run_id, run_id)} │ ", "dim"), line)
        self._console.print(line, soft_wrap=True)

    def _below(self) -> RenderableType:
        unfinished = [
            Text.assemble((f"{self._titles.get(of, of)} │ ", "dim"), line) if self._named else line
            for (of, _), stream in list(self._streams.items())  # another thread draws
            if (line := stream.unfinished()) is not None
        ]
        return Group(*unfinished, self._progress)


class _Stream:
    """One stream of one run: safe text, cut into lines."""

    def __init__(self) -> None:
        self._safe = SafeText()
        self._decoder = AnsiDecoder()
        self._line = ""

    def safe(self, text: str) -> str:
        return self._safe.feed(text)

    def feed(self, text: str) -> list[Text]:
        *lines, self._line = (self._line + self.safe(text)).split("\n")
        return [self._decoder.decode_line(line.rstrip("\r")) for line in lines]

    def unfinished(self) -> Text | None:
        shown = self._line.rstrip("\r")
        return AnsiDecoder().decode_line(shown) if shown else None

    def rest(self) -> Text | None:
        shown = self.unfinished()
        self._line = ""
        return shown
