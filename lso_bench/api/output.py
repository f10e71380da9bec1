"""Output of commands: data on stdout, everything else on stderr."""

import sys

from lso_bench.files.sanitize import printable

WIDE = 140  # columns of a table where there is no terminal
UNLIMITED = 1000  # columns with --wide
LONGEST = 2000  # characters of a message


class Out:
    """Console for data; control characters in names from files are shown and not obeyed."""

    def __init__(self, wide: bool = False):
        self.wide = wide

    def print(self, renderable) -> None:
        """Print a text or table of rich."""
        from rich.console import Console
        from rich.segment import Segments

        width = Console().width if sys.stdout.isatty() else WIDE
        console = Console(width=UNLIMITED if self.wide else width, highlight=False)
        segments = [
            s if s.control or s.text.isprintable() else s._replace(text=printable(s.text))
            for s in console.render(renderable)
        ]
        console.print(Segments(segments))


def out(wide: bool = False) -> Out:
    """Return the console for data; `wide`: tables are not folded to the width of the terminal."""
    return Out(wide)


def say(line: str) -> None:
    """Print a message on stderr."""
    line = printable(line if len(line) <= LONGEST else f"{line[:LONGEST]} ...")
    print(line, file=sys.stderr, flush=True)
