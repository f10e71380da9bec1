"""Check the words of the code: no pronoun or participle for a name, a verb or a noun at the head of a docstring.

The folders checked are the arguments; without any, `FOLDERS`. Status 1 and a line each where a
name or a docstring is refused.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("lso_bench", "vae", "tasks", "docs", ".ci", "benchmarks", "tests")
PRONOUNS = ("of", "own", "there", "these", "those", "this", "that", "same", "more", "other", "others")
PARTICIPLES = ("found", "told", "made", "given", "wanted")
FIRST_WORDS = ("Of", "What", "Whether", "Where", "Which", "When", "Those", "That", "This", "These", "How", "Who", "As")
FROZEN = (  # their text is part of what the shipped results are: renamed together with their next change of behaviour
    "lso_bench/searchers/lbfgs.py",
    "tasks/ink.py",
    "tasks/match_classifier.py",
    "tasks/symmetry.py",
)
ARGUMENTS = {("lso_bench/api/comparison.py", "of")}  # a call reads as a sentence: compared.paired(of="searcher")
DEFINITIONS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def bound(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a module binds, with their lines: variables, parameters, attributes and definitions."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((node.lineno, name.asname) for name in names if name.asname)


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a module, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


def faults(path: Path) -> Iterator[str]:
    """Yield a line for each name or docstring of a file that the check refuses."""
    try:
        tree = ast.parse(path.read_text())
    except SyntaxError as error:
        yield f"{path}:{error.lineno}: {error.msg}"
        return
    for line, name in bound(tree):
        if name.strip("_") in PRONOUNS + PARTICIPLES and (str(path), name) not in ARGUMENTS:
            yield f"{path}:{line}: the name `{name}` says nothing of its value; name the thing"
    for line, text in docstrings(tree):
        word = text.split()[0].strip(".,:;`*")
        if word in FIRST_WORDS:
            yield f"{path}:{line}: the docstring begins with {word!r}; begin with a verb or a noun"


def main(folders: list[str]) -> int:
    """Print every fault in the folders; return the exit status."""
    paths = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    lines = [line for path in paths if str(path) not in FROZEN for line in faults(path)]
    lines += [f"{p}: has no refused word any more; take it out of FROZEN" for p in FROZEN if not [*faults(Path(p))]]
    print(*lines, sep="\n", end="\n" if lines else "")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(FOLDERS)))
