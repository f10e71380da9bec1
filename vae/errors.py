"""Errors that this package raises on purpose."""


class UnusableError(Exception):
    """Missing, damaged or unexpected data set or checkpoint."""


class MissingError(UnusableError):
    """Missing files of a data set, which may be downloaded."""


class EndedError(SystemExit):
    """Request to end this program, by Ctrl-C or a signal; plugin code does not raise it."""
