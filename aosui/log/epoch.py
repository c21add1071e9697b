"""When continuity begins: the epoch of a log, and the boot of the machine under it."""

from __future__ import annotations

import secrets
import string
from pathlib import Path

__all__ = ["boot_id", "new_epoch"]

ALPHABET = string.ascii_lowercase + string.digits
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def new_epoch() -> str:
    """Make an epoch: 12 characters of a-z and 0-9."""
    return "".join(secrets.choice(ALPHABET) for _ in range(12))


def boot_id() -> str:
    """
    Return what is the same until the machine stops.

    Where the system does not say it (it is Linux's), no two calls return the same: continuity is
    never claimed without knowing.
    """
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return secrets.token_hex(16)
