"""Command line: the program and its commands. Nothing heavy is imported before a command runs."""

import atexit
import errno
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from lso_bench import __version__, streams
from lso_bench.api.output import say
from lso_bench.commands import (
    archive,
    compare,
    contracts,
    doctor,
    evaluate,
    export,
    import_checkpoint,
    list,
    plot,
    report,
    reproduce,
    run,
    status,
    train,
    train_judge,
    traverse,
)
from lso_bench.commands.exit_status import FAULT, UNUSABLE, exit_status
from lso_bench.commands.parsing import Command
from lso_bench.errors import EndedError, LsoBenchError, UnusableError
from lso_bench.limits import is_want_of_memory
from lso_bench.process import (
    lasting_threads,
    settle_figures,
    settle_memory,
    settle_threads,
    settle_warnings,
)

COMMANDS = {  # in the order of the help
    "run": run.run,
    "status": status.status,
    "train": train.train,
    "train-judge": train_judge.train_judge,
    "evaluate": evaluate.evaluate,
    "compare": compare.compare,
    "report": report.report,
    "plot": plot.plot,
    "export": export.export,
    "archive": archive.archive,
    "reproduce": reproduce.reproduce,
    "traverse": traverse.traverse,
    "import-checkpoint": import_checkpoint.import_checkpoint,
    "list": list.list_,
    "doctor": doctor.doctor,
    "new-task": contracts.new_task,
    "check-task": contracts.check_task,
    "new-model": contracts.new_model,
    "check-model": contracts.check_model,
    "check-searcher": contracts.check_searcher,
}
DISK_ERRORS = {  # errors of a disk or its permissions
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}
END_SIGNALS = {  # signals that ask for the end, and their text
    signal.SIGTERM: "Terminated",
    signal.SIGINT: "Interrupted",
    signal.SIGHUP: "Hung up",
    signal.SIGQUIT: "Quit",
    signal.SIGXCPU: "Out of processor time (SIGXCPU)",
    signal.SIGUSR1: "Ended by SIGUSR1",  # sent by batch systems before the time limit of a job
    signal.SIGUSR2: "Ended by SIGUSR2",
}
EXAMPLES = {  # by command
    "run": (
        "lso-bench run --model vae,nevae_se --task glyphs50 --arch conv",
        "lso-bench run study.toml --jobs 2 --results results/study",
        "lso-bench run --model vae --task ink --searcher cmaes --seed 0-9",
    ),
    "compare": (
        "lso-bench compare results/",
        "lso-bench compare results/ --where task=ink --table final,starts",
        "lso-bench compare results/ --latex --table final --label tab:lso",
    ),
    "train": ("lso-bench train --model nevae_se --data glyphs --arch conv --epochs 10",),
    "evaluate": ("lso-bench evaluate --model vae,nevae_se --data omniglot",),
    "report": ("lso-bench report results/reference -o report.html",),
    "status": ("lso-bench status results/", "lso-bench status study.toml --results results/study"),
    "list": ("lso-bench list", "lso-bench list tasks", "lso-bench list models --json"),
}
STATUSES = (
    "Exit status: 0 all well; 2 the request does not fit; 3 incomplete; 4 something cannot be used; 5 --fail-if holds; "
    "1 a fault of lso-bench. docs/exit-statuses.md explains each."
)
NOTATION = (
    "A name or value with a comma or a double quote stands in double quotes, and so does a name with a colon: "
    """--task '"./a,b.py":target=0.3'. Notation of names, settings and lists: docs/names.md."""
)
_end_requested = set()  # the first signal that asked for the end
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it would interpret `[default: 30]` in a help text as markup
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=STATUSES,
    help="Benchmarks of latent space optimization: train VAEs, search their latent spaces, compare.",
)


def _epilog(name: str) -> str | None:
    """Return the examples of a command, and for `run` the notation of names."""
    lines = "\n".join(["Examples:", *(f"  {line}" for line in EXAMPLES.get(name, ()))])
    examples = [f"\b\n{lines}"] * (name in EXAMPLES)  # the mark keeps the lines apart
    return "\n\n".join([*examples, *[NOTATION] * (name == "run")]) or None


def _print_version(asked: bool) -> bool:
    if asked:
        print(f"lso-bench {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version.")
    ] = False,
) -> None:
    pass


for name, command in COMMANDS.items():
    app.command(name, cls=Command, epilog=_epilog(name))(command)


def main() -> None:
    """Run the program: set up threads and memory, run a command, turn our errors into one line and an exit status."""
    streams.settle()
    settle_threads()
    settle_memory()
    settle_warnings()
    _install_handlers()
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        _check_folder()
        settle_figures()
        app(arguments)
    except SystemExit as end:  # raised at the end of every command
        _end(_status_after_output(end.code))
    except Exception as error:  # the last place to report an error in one line
        if debug:
            raise
        _end(_explain(error))


def _check_folder() -> None:
    """Refuse a deleted working folder, where libraries cannot start.

    Raises:
        UnusableError: the folder was deleted.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UnusableError("The working folder is there no more: cd to another one.") from error


def _end(status: str | int | None) -> NoReturn:
    """End the program; at once after a signal, or if a plugin has left a thread that does not end.

    The normal exit of the interpreter takes time in which it ignores our handlers: another Ctrl-C would kill it.
    """
    if _end_requested or lasting_threads():
        atexit._run_exitfuncs()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status if isinstance(status, int) else bool(status))
    sys.exit(status)


def _status_after_output(status: str | int | None) -> str | int | None:
    """Return the exit status of a command, or an error status if standard output lost text."""
    if (error := streams.refusal()) is None:
        return status
    say(f"Cannot write to standard output: {error.strerror}; what was finished is kept, the text is lost.")
    return status or UNUSABLE


def _explain(error: Exception) -> int:
    """Print in one line what went wrong; return the exit status."""
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        say(f"Cannot write or read {error.filename or 'a file'}: {error.strerror}; what was finished is kept.")
        return UNUSABLE
    if is_want_of_memory(error):
        text = " ".join(str(error).split()).rstrip(":") or type(error).__name__
        remedy = "do less at a time, or raise the limit (--memory, `ulimit -v`)"
        say(f"Out of memory ({text}): {remedy}; what was finished is kept.")
        return UNUSABLE
    say(" ".join(str(error).split()) or type(error).__name__)
    if isinstance(error, LsoBenchError):
        return exit_status(error)
    say(f"This is a fault of lso-bench ({type(error).__name__}); --debug shows where.")
    return FAULT


def _install_handlers() -> None:
    """Handle signals that ask for the end; signals ignored by `nohup` and the like stay ignored.

    They are unblocked: a program inherits the mask of whatever starts it, and would never hear of them.
    """
    for number in END_SIGNALS:
        if number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, END_SIGNALS)


def _on_signal(number: int, *_: object) -> None:
    """End in order at the first signal, at once at the second. Processes of runs end by themselves with this one."""
    status = 128 + number
    if _end_requested:
        os._exit(status)
    _end_requested.add(number)  # handlers stay: they would be reset while a plugin's code runs
    reason = END_SIGNALS[signal.Signals(number)]
    text = f"{reason}; finished runs and epochs are kept. The same command goes on from there."
    try:
        say(text)
    except OSError:
        pass  # the terminal may be gone
    except RuntimeError:  # the signal came while a line was written, and a stream of Python refuses two at once
        with suppress(OSError):
            os.write(2, f"{text}\n".encode())
    raise EndedError(status)
