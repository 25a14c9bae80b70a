"""The one exception that is the user's to fix; the command line prints it and exits with 2."""


class UserError(Exception):
    """A mistake of the user; the message is one line and says what to do about it."""
