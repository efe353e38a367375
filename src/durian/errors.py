"""The one exception that is meant for the user's eyes."""


class DurianError(Exception):
    """What was wrong with the user's input, and what to do about it, in one line.

    The command line prints the message and exits with status 2, without a traceback.
    """
