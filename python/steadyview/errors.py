"""The errors steadyview raises on purpose; on the command line, one line and exit code 2."""

__all__ = ["InputError", "OptionError", "OutputError", "SteadyviewError"]


class SteadyviewError(Exception):
    """Base of all errors that name what is wrong and how to mend it."""


class InputError(SteadyviewError, ValueError):
    """A video, image folder or motion file that cannot be used; the message names it."""


class OptionError(SteadyviewError, ValueError):
    """An option out of its range; the message names it, what was got and what is allowed."""


class OutputError(SteadyviewError, OSError):
    """The result cannot be written; nothing is left behind."""
