"""Gather the pages of the site in build/docs: docs/, the files that they link to, and the help of every command.

On GitHub a page links to any file of the repository. A site has only what lies in its own folder, so each linked file
is copied there, under its path from the root, and the links are written anew. Broken links end the build.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import typer
import typer.core

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SITE = ROOT / "build" / "docs"
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
ALWAYS = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")  # pages from the root
HELP = "<!-- the help of every command -->"


def stage(site: Path = SITE) -> None:
    """Copy all pages, and whatever they link to, into an empty folder.

    Raises:
        SystemExit: names the links that lead nowhere.
    """
    sys.path.insert(0, str(ROOT))
    shutil.rmtree(site, ignore_errors=True)
    waiting, broken = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ALWAYS)], []
    for path in waiting:  # grows on the way
        target = site / placed(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".md":
            shutil.copyfile(path, target)
            continue
        text = path.read_text(encoding="utf-8")
        for linked in links(text, path):
            if not linked.is_file():
                broken.append(f"{path.relative_to(ROOT)}: {os.path.relpath(linked, ROOT)}")
            elif linked not in waiting:
                waiting.append(linked)
        target.write_text(moved(text, path).replace(HELP, helps() if HELP in text else ""), encoding="utf-8")
    if broken:
        sys.exit("Links that lead to no file:\n  " + "\n  ".join(broken))


def placed(path: Path) -> Path:
    """Return the place of a file of the repository in the site."""
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT)


def links(text: str, page: Path) -> list[Path]:
    """The files that a page links to."""
    return [Path(os.path.normpath(page.parent / m[2])) for m in LINK.finditer(prose(text))]


def prose(text: str) -> str:
    """The text without code, which has no links."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def moved(text: str, page: Path) -> str:
    """The text, its links from the page's place in the site."""

    def anew(match: re.Match) -> str:
        linked = Path(os.path.normpath(page.parent / match[2]))
        if not linked.is_file():  # code that looks like a link
            return match[0]
        return match[1] + Path(os.path.relpath(placed(linked), placed(page).parent)).as_posix() + match[3]

    return LINK.sub(anew, text)


def helps() -> str:
    """Return the help of each command, as Markdown."""
    from lso_bench.cli import app

    known = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    return "\n".join(help_of(name, command) for name, command in known.items())


def help_of(name: str, command: typer.core.TyperCommand) -> str:
    """One command: its usage, what it does, and a table of its arguments and options."""
    from lso_bench.commands.parsing import option_kind

    context = typer.Context(command, info_name=f"lso-bench {name}")
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    records = [p.get_help_record(context) for p in command.params]
    rows = [f"| `{option_kind(option)}` | {cell(text)} |" for option, text in filter(None, records)]
    about = " ".join(str(command.help).split())
    return "\n".join([f"### {name}", "", about, "", f"    {usage}", "", "| option | meaning |", "|---|---|", *rows, ""])


def cell(text: str) -> str:
    """A text that can stand in a table."""
    from lso_bench.commands.parsing import option_bounds

    text = option_bounds(" ".join(text.split())).replace("|", "\\|")
    parts = text.split("`")  # every second one is code
    parts[::2] = [re.sub(r"([\[\]<*_])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    stage()
