"""The time as the wire has it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from aosui.clock import timestamp


def test_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp())


def test_is_now() -> None:
    before = datetime.now(UTC)
    told = datetime.fromisoformat(timestamp())
    assert before - timedelta(milliseconds=1) <= told <= datetime.now(UTC)
