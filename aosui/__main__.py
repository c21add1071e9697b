"""`python -m aosui`: the command line."""

from __future__ import annotations

from aosui.cli import main

if __name__ == "__main__":
    main(prog_name="aosui")
