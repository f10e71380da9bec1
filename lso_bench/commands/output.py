"""What commands print: data on stdout, everything else on stderr."""

import sys


def out():
    """The console for data."""
    from rich.console import Console

    wide = 140  # a narrower terminal wraps the lines of a table; cutting them would lose figures
    return Console(width=max(wide, Console().width) if sys.stdout.isatty() else wide, highlight=False)


def say(line: str) -> None:
    """A message."""
    print(line, file=sys.stderr, flush=True)
