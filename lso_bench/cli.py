"""The command line: the program and its commands. Nothing heavy is imported before a command runs."""

import atexit
import errno
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import typer

from lso_bench import streams
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
from lso_bench.commands.output import say
from lso_bench.commands.parsing import Command
from lso_bench.errors import LsoBenchError, UnusableError
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
    "check-searcher": contracts.check_searcher,
}
DISK = {  # what a disk or its rights refuse
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}
ENDS = {  # signals that ask for the end, and the word for it
    signal.SIGTERM: "Terminated",
    signal.SIGINT: "Interrupted",
    signal.SIGHUP: "Hung up",
    signal.SIGQUIT: "Quit",
    signal.SIGXCPU: "Out of processor time (SIGXCPU)",
    signal.SIGUSR1: "Ended by SIGUSR1",  # as batch systems send it before the time of a job is over
    signal.SIGUSR2: "Ended by SIGUSR2",
}
NOTATION = (
    "A name or value with a comma or a double quote stands in double quotes, and so does a name with a colon: "
    """--task '"./a,b.py":target=0.3'. Notation of names, settings and lists: docs/names.md."""
)
_asked = set()  # the first signal that asked for the end
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it takes `[default: 30]` in a help text for markup
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=NOTATION,
    help="Benchmarks of latent space optimization: train VAEs, search their latent spaces, compare.",
)
for name, command in COMMANDS.items():
    app.command(name, cls=Command, epilog=NOTATION if name == "run" else None)(command)


def main() -> None:
    """The program: settles threads and memory, runs a command, turns our errors into one line and an exit status."""
    streams.settle()
    settle_threads()
    settle_memory()
    settle_warnings()
    _listen()
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        _check_folder()
        settle_figures()
        app(arguments)
    except SystemExit as end:  # as every command ends
        _end(_written(end.code))
    except Exception as error:  # the last place where anything can be said in one line
        if debug:
            raise
        _end(_explain(error))


def _check_folder() -> None:
    """Refuse a working folder that was deleted, where libraries cannot start.

    Raises:
        UnusableError: says so.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UnusableError("The working folder is there no more: cd to another one.") from error


def _end(status: str | int | None) -> NoReturn:
    """End the program: at once after a signal, and also where a plugin has begun a thread that does not end.

    The interpreter's own end takes a second in which it no longer hears our handlers: another Ctrl-C would kill it.
    """
    if _asked or lasting_threads():
        atexit._run_exitfuncs()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status if isinstance(status, int) else bool(status))
    sys.exit(status)


def _written(status: str | int | None) -> str | int | None:
    """The exit status of a command, once standard output has all that it wrote; else a line and a status of its own."""
    if (error := streams.refusal()) is None:
        return status
    say(f"Cannot write to standard output: {error.strerror}; what was finished is kept, the text is lost.")
    return status or UnusableError.status


def _explain(error: Exception) -> int:
    """Say what went wrong in one line; the exit status."""
    if isinstance(error, OSError) and error.errno in DISK:
        say(f"Cannot write or read {error.filename or 'a file'}: {error.strerror}; what was finished is kept.")
        return UnusableError.status
    if is_want_of_memory(error):
        said = " ".join(str(error).split()).rstrip(":") or type(error).__name__
        mend = "do less at a time, or raise the limit (--memory, `ulimit -v`)"
        say(f"Out of memory ({said}): {mend}; what was finished is kept.")
        return UnusableError.status
    say(" ".join(str(error).split()) or type(error).__name__)
    if isinstance(error, LsoBenchError):
        return error.status
    from lso_bench.vae.errors import (
        UnusableError as VaeUnusableError,  # only now: another's `vae` may be what went wrong
    )

    if isinstance(error, VaeUnusableError):
        return UnusableError.status
    say(f"This is a fault of lso-bench ({type(error).__name__}); --debug shows where.")
    return 1


def _listen() -> None:
    """Let signals that ask for the end end it in order; what `nohup` and the like have switched off stays so."""
    for number in ENDS:
        if number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, *_: object) -> None:
    """End in order; at the second signal at once. Processes of runs end by themselves when this one is gone."""
    status = 128 + number
    if _asked:
        os._exit(status)
    _asked.add(number)  # no other handlers: while a plugin's code runs they would be put back
    with suppress(OSError):  # of a terminal that is gone
        say(f"{ENDS[signal.Signals(number)]}; finished runs and epochs are kept. The same command goes on from there.")
    from lso_bench.vae.errors import EndedError  # only now, as above

    raise EndedError(status)
