"""
The server's own log: structured lines through the standard library's logger `aosui`.

Nothing is configured here: whoever runs the process decides what becomes of the lines.
"""

from __future__ import annotations

import logging
from typing import Any, cast

import structlog

__all__ = ["logger"]


def _in_words(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> tuple[tuple[str], dict[str, Any]]:
    event, exc_info = line.pop("event"), line.pop("exc_info", None)
    said = " ".join([str(event), *(f"{name}={value!r}" for name, value in line.items())])
    return (said,), {"exc_info": exc_info}


logger = cast(
    "structlog.stdlib.BoundLogger",
    structlog.wrap_logger(
        logging.getLogger("aosui"),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            _in_words,
        ],
        cache_logger_on_first_use=True,
    ),
)
"""Bind the project and the run; every line about an error carries its `code`."""
