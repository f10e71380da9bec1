"""Exit statuses of the program; `docs/exit-statuses.md` explains each."""

from lso_bench.errors import LsoBenchError, PluginError, UnusableError, UsageError

FAULT = 1  # of lso-bench itself
USAGE = 2  # the request names something that does not exist, or a plugin breaks its contract
INCOMPLETE = 3  # a planned run is missing or failed, or a model; under --strict, something is flagged or skipped
UNUSABLE = 4  # data, results or a checkpoint cannot be used
CONDITION_HOLDS = 5  # a condition of --fail-if holds
_OF_ERRORS = {UsageError: USAGE, PluginError: USAGE, UnusableError: UNUSABLE}


def exit_status(error: LsoBenchError) -> int:
    """Return the exit status of a command that ends with an error."""
    return next((status for kind, status in _OF_ERRORS.items() if isinstance(error, kind)), FAULT)
