"""What the command line makes of log lines: readable, on stderr, without the token."""

from __future__ import annotations

import logging
import sys

from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import HttpProcessingError
from aiohttp.web import BaseRequest, StreamResponse

from aosui.cli.safe import SafeText

__all__ = ["AccessLog", "configure_logging"]

MASK = "•••"


class AccessLog(AbstractAccessLogger):
    """One line a request, without its query: what is in one may be secret."""

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        # A page that polls and hears of nothing new is not worth a line.
        level = logging.DEBUG if response.status == 304 else logging.INFO
        self.logger.log(
            level,
            "%s %s %s %d %.0f ms",
            request.remote,
            request.method,
            request.rel_url.raw_path,
            response.status,
            time * 1000,
        )


class _Lines(logging.Formatter):
    def __init__(self, secret: str) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace(self._secret, MASK)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        record.message = SafeText().feed(record.message)
        return super().formatMessage(record)


def _of_ours(record: logging.LogRecord) -> bool:
    """
    Say whether a line of aiohttp's is about the server: not when a client sends what is no HTTP.

    That has its line in the access log; aiohttp's has the bytes, with any secret, and a traceback.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def configure_logging(secret: str, *, level: int = logging.INFO) -> None:
    """Send log lines to stderr, with `secret` masked; for a process of aosui's own only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(secret))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("aosui").setLevel(level)
    logging.getLogger("aiohttp.server").addFilter(_of_ours)
