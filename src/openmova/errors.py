"""How a program ends that the user has to do with: by a mistake, by Ctrl-C."""

INTERRUPTED = 128 + 2
"""The exit status after Ctrl-C, as shells report a program that ended by SIGINT."""


class UserError(Exception):
    """A mistake of the user; the message is one line and says what to do about it.

    The command line prints it and exits with 2.
    """
