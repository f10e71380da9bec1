"""Output of commands: data on stdout, everything else on stderr."""

import sys

from lso_bench.files.sanitize import printable

WIDE = 140  # columns; a narrower terminal wraps the lines of a table, cutting them would lose figures
LONGEST = 2000  # characters of a message


class Out:
    """Console for data; control characters in names from files are shown and not obeyed."""

    def print(self, renderable) -> None:
        """Print a text or table of rich."""
        from rich.console import Console
        from rich.segment import Segments

        console = Console(width=max(WIDE, Console().width) if sys.stdout.isatty() else WIDE, highlight=False)
        segments = [s if s.control else s._replace(text=printable(s.text)) for s in console.render(renderable)]
        console.print(Segments(segments))


def out() -> Out:
    """Return the console for data."""
    return Out()


def say(line: str) -> None:
    """Print a message on stderr."""
    line = printable(line if len(line) <= LONGEST else f"{line[:LONGEST]} ...")
    print(line, file=sys.stderr, flush=True)
