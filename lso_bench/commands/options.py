"""Options that several commands share, and their meaning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.bounds import LATENT, SEED, WHOLE
from lso_bench.commands.exit_status import INCOMPLETE
from lso_bench.errors import UnusableError, UsageError


def outside(text: str | Path) -> Path:
    """Convert a path as typed; `~` means a home folder also where the shell leaves it (`--results=~/x`)."""
    from lso_bench.files.paths import from_outside

    try:
        return from_outside(text)
    except UnusableError as error:
        raise UsageError(str(error)) from error


def plugin(text: str) -> str:
    """Convert the name of a plugin or data set, or the path of its file or folder."""
    from lso_bench.plugins.notation import with_home_folder

    try:
        return with_home_folder(text)
    except UnusableError as error:
        raise UsageError(str(error)) from error


LISTED = "Names, separated by commas; may stand several times"
Models = Annotated[
    list[str], typer.Option("--model", help=f"{LISTED}; `lso-bench list models`, or your own ./mine.py.")
]
Epochs = Annotated[int | None, typer.Option(min=1, max=WHOLE, help="[default: 30; paper 100]")]
Compile = Annotated[bool, typer.Option("--compile", help="By torch.compile; needs a C++ compiler.")]
Capture = Annotated[bool, typer.Option("--capture", help="The step as a CUDA graph; on a GPU.")]
Precision = Annotated[str, typer.Option(help="Of training: fp32, or bf16 where the machine multiplies it.")]
Data = Annotated[
    str,
    typer.Option(
        parser=plugin, metavar="TEXT", help="A name (`lso-bench list data`), ./file.py, or a folder of images."
    ),
]
DataOfModels = Annotated[
    str | None,
    typer.Option(
        "--data",
        parser=plugin,
        metavar="TEXT",
        help="A name (`lso-bench list data`), ./file.py, or a folder of images [default: the model's own].",
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        help="small, paper, conv, mlp; of texts gru, transformer, parallel; ./file.py; settings follow (mlp:hidden=64) "
        "[default: small; of texts gru]."
    ),
]
TrainSeed = Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of the training.")]
Draws = Annotated[int, typer.Option(min=0, max=SEED, help="Seed of the measurement.")]
Latent = Annotated[int, typer.Option(min=1, max=LATENT, help="Latent dimensions.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        parser=outside, metavar="PATH", help="Where data sets lie [default: $LSO_BENCH_DATA, else the cache]."
    ),
]
Results = Annotated[
    Path, typer.Option(parser=outside, metavar="PATH", help="Folder of results.", envvar="LSO_BENCH_RESULTS")
]
Where = Annotated[
    list[str] | None,
    typer.Option(help="Only runs of which this holds: task=omniglot50, beta<1, seed.init=0,1; several times: all."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]

Jobs = Annotated[int | None, typer.Option(min=1, help="Runs at the same time [default: by cores and memory].")]
Timeout = Annotated[float | None, typer.Option(min=0.001, help="Seconds of a run; then its status is timeout.")]
Retries = Annotated[int, typer.Option(min=0, max=WHOLE, help="Further tries of a run whose process died.")]
Isolation = Annotated[
    str | None,
    typer.Option(help="run: a process each; batch: processes for many short runs; none: this one [default: run]."),
]
Memory = Annotated[float | None, typer.Option(min=0, help="GB that a run may take, 0.6 at least [default: its share].")]
Executor = Annotated[str, typer.Option(help="local: processes of this machine; ray: a Ray cluster.")]
Address = Annotated[
    str | None, typer.Option(help="Of the Ray cluster: local (of our own), auto, HOST:PORT, ray://HOST:PORT.")
]
Gpu = Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of a GPU that a run takes.")]


def names(option: str, texts: Sequence[str]) -> list[str]:
    """Return the names in lists with commas, each once, with their settings (`lso_bench.plugins.notation`)."""
    from lso_bench.plugins.notation import parts, unquoted_path

    listed: list[str] = []
    for text in texts:
        if hint := unquoted_path(text):
            raise UsageError(f"--{option} {text!r}: {hint}")
        try:
            listed += parts(text)
        except ValueError as error:
            raise UsageError(f"--{option}: {error}") from error
        if not all(listed):
            raise UsageError(f"--{option} wants names separated by commas, not {text!r}.")
    return list(dict.fromkeys(map(plugin, listed)))


def numbers(option: str, texts: Sequence[str]) -> list[int]:
    """Return the whole numbers in lists with commas, each once, none larger than a seed can be; 0-9 is a range."""
    from lso_bench.plugins.notation import seeds

    try:
        return list(dict.fromkeys(number for text in texts for number in seeds(text)))
    except ValueError as error:
        text = ",".join(texts)
        expected = f"whole numbers from 0 to {SEED}, separated by commas, or ranges as 0-9"
        raise UsageError(f"--{option} wants {expected}, not {text!r}.") from error


def display_names(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the displayed names by name, of texts as `nevae_se=NE-VAE`; an equals sign between two $ divides none.

    Raises:
        UsageError: a text has another form.
    """
    divided = [max((i for i, c in enumerate(t) if c == "=" and t.count("$", 0, i) % 2 == 0), default=0) for t in texts]
    pairs = [(text[:at], text[at + 1 :]) for text, at in zip(texts, divided, strict=True)]
    if faulty := next((text for text, pair in zip(texts, pairs, strict=True) if not all(pair)), ""):
        raise UsageError(f"--{option} wants a name and how it is displayed, as nevae_se=NE-VAE, not {faulty!r}.")
    return dict(pairs)


def thresholds(option: str, texts: Sequence[str]) -> tuple[float, ...]:
    """Return the thresholds in lists with commas, the largest first."""
    from lso_bench.plugins.notation import real
    from lso_bench.study import file

    try:
        return file.thresholds([real(part.strip()) for text in texts for part in text.split(",")])
    except ValueError as error:
        text = ",".join(texts)
        raise UsageError(f"{option} wants finite numbers from 0 on, separated by commas, not {text!r}.") from error


Strict = Annotated[bool, typer.Option("--strict", help=f"Exit status {INCOMPLETE} if anything is skipped.")]
StrictOfRuns = Annotated[
    bool, typer.Option("--strict", help=f"Exit status {INCOMPLETE} if anything is flagged (!) or skipped.")
]


def check_folder(option: str, path: Path) -> None:
    """Refuse a path that is no folder, before any figure is drawn."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"--{option} wants a folder, and {str(path)!r} is none; give another name.")
