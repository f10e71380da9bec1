"""The errors that this package raises on purpose."""


class UnusableError(Exception):
    """A data set or checkpoint that is missing, damaged or not what was asked for."""


class MissingError(UnusableError):
    """Files of a data set that are not there, and may be downloaded."""


class EndedError(SystemExit):
    """This program was asked to end, by Ctrl-C or a signal; no code of a plugin raises it."""
