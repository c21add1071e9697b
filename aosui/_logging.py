"""
The server's own log: structured lines through the standard library's logger `aosui`.

Nothing is configured here: whoever runs the process decides what becomes of the lines.
"""

from __future__ import annotations

import logging
from typing import cast

import structlog

__all__ = ["logger"]

logger = cast(
    "structlog.stdlib.BoundLogger",
    structlog.wrap_logger(
        logging.getLogger("aosui"),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        cache_logger_on_first_use=True,
    ),
)
"""Bind the project and the run; every line about an error carries its `code`."""
