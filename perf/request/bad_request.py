"""The refusal of a request; apart from what parses one, for workers that import little."""


class BadRequestError(Exception):
    """The request was wrong; the message is the one line that says what, where and what to do."""
