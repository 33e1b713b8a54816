"""The one exception family: every error says what to do."""

from __future__ import annotations


class WhodrewError(Exception):
    """A mistake in the input or the use of whodrew, in one plain line.

    The command line prints it without a traceback and exits with ``exit_code``.

    Attributes:
        exit_code: 2 for wrong use or input, 3 where a stated limit was exceeded.
    """

    exit_code = 2


class UsageError(WhodrewError):
    """An option or a combination of options that cannot be served."""


class InputError(WhodrewError):
    """Input that cannot be read: names the file or row, the value, and the mend."""


class MissingExtraError(WhodrewError):
    """A feature whose optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: pip install 'whodrew[{extra}]'")


class LimitError(WhodrewError):
    """A stated limit was exceeded."""

    exit_code = 3
