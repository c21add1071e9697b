"""What viewers are told about an exception that an executor raised."""

from __future__ import annotations

import msgspec

from aosui.errors import AosuiError, ExecutorFailure, LimitExceeded, NotSerialisable
from aosui.events import ErrorInfo
from aosui.protocol import MAX_ERROR_BYTES, cut, encode_data

__all__ = ["failure_info", "fit_error", "in_words"]


def failure_info(error: BaseException) -> ErrorInfo:
    """Make the error of a failed run; it fits an event."""
    if isinstance(error, ExecutorFailure | LimitExceeded):
        return fit_error(ErrorInfo(error.code, error.message, error.retryable, error.details))
    words = error.message if isinstance(error, AosuiError) else in_words(error)
    return fit_error(ErrorInfo(ExecutorFailure.code, words))


def in_words(error: BaseException) -> str:
    """Say what an exception is: its type and its message."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def fit_error(info: ErrorInfo) -> ErrorInfo:
    """Cut an error to what fits: its details go when they do not, its words lose their end."""
    # An author may have put anything into it, of any type.
    code, message = cut(str(info.code), 128), cut(str(info.message), MAX_ERROR_BYTES - 256)
    short = ErrorInfo(code, message, bool(info.retryable))
    whole = msgspec.structs.replace(short, details=info.details)
    try:
        encode_data(whole, MAX_ERROR_BYTES, what="the error")
    except NotSerialisable:
        return short
    return whole
