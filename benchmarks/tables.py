"""What a case found: tables for people, samples for the record."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import Factory, define, frozen

__all__ = ["Figure", "Found", "Table", "figure", "interleaved"]

K = TypeVar("K", bound=Hashable)


@frozen
class Figure:
    """The median of several samples, and how far they spread."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def text(self, factor: float = 1.0) -> str:
        """Show the median, and the range when there were several samples."""
        median = short(self.median * factor)
        if len(self.samples) < 2:
            return median
        low, high = short(min(self.samples) * factor), short(max(self.samples) * factor)
        return f"{median} ({low}–{high})"


def short(value: float) -> str:
    """Show three digits of a number, no more."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def figure(samples: Sequence[float]) -> Figure:
    """Make a figure of samples."""
    return Figure(tuple(samples))


@frozen
class Table:
    """A table, shown as Markdown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join([f"**{self.title}**", "", *(f"| {' | '.join(row)} |" for row in lines)])


@define
class Found:
    """What one case found; `samples` has every number that the tables were made of."""

    tables: list[Table] = Factory(list)
    samples: dict[str, list[float]] = Factory(dict)

    def add(self, name: str, samples: Sequence[float]) -> Figure:
        """Keep samples under a name; returns their figure."""
        self.samples[name] = [round(sample, 6) for sample in samples]
        return figure(samples)

    def record(self) -> dict[str, Any]:
        return {
            "tables": [
                {"title": table.title, "columns": [*table.columns], "rows": [*table.rows]}
                for table in self.tables
            ],
            "samples": self.samples,
        }


def interleaved(
    rounds: int, measures: Mapping[K, Callable[[], Mapping[str, float]]]
) -> dict[K, dict[str, list[float]]]:
    """Measure each in turn, `rounds` times: what disturbs the machine disturbs all alike."""
    samples: dict[K, dict[str, list[float]]] = {key: {} for key in measures}
    for _ in range(rounds):
        for key, measure in measures.items():
            for name, value in measure().items():
                samples[key].setdefault(name, []).append(value)
    return samples
