"""The command line: the program and its commands. Nothing heavy is imported before a command runs."""

import signal
import sys

import typer

from lso_bench.commands import (
    compare,
    evaluate,
    list,
    plot,
    report,
    reproduce,
    run,
    tasks,
    train,
    train_judge,
    traverse,
)
from lso_bench.commands.output import say
from lso_bench.errors import LsoBenchError, UnusableError
from lso_bench.process import settle_memory, settle_threads

COMMANDS = {  # in the order of the help
    "run": run.run,
    "train": train.train,
    "train-judge": train_judge.train_judge,
    "evaluate": evaluate.evaluate,
    "compare": compare.compare,
    "report": report.report,
    "plot": plot.plot,
    "reproduce": reproduce.reproduce,
    "traverse": traverse.traverse,
    "list": list.list_,
    "new-task": tasks.new_task,
    "check-task": tasks.check_task,
}
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Benchmarks of latent space optimization: train VAEs, search their latent spaces, compare.",
)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """The program: settles threads and memory, runs a command, turns our errors into one line and an exit status."""
    settle_threads()
    settle_memory()
    signal.signal(signal.SIGTERM, lambda *_: _stop("Terminated", 143))
    signal.signal(signal.SIGINT, lambda *_: _stop("Interrupted", 130))
    debug = "--debug" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        app(arguments)
    except Exception as error:  # the last place where anything can be said in one line
        if debug:
            raise
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Say what went wrong in one line; the exit status."""
    from vae.errors import UnusableError as VaeUnusableError

    say(" ".join(str(error).split()))
    if isinstance(error, LsoBenchError):
        return error.status
    if isinstance(error, VaeUnusableError):
        return UnusableError.status
    say(f"This is a fault of lso-bench ({type(error).__name__}); --debug shows where.")
    return 1


def _stop(how: str, status: int) -> None:
    say(f"{how}; finished runs and epochs are kept. The same command goes on from there.")
    sys.exit(status)
