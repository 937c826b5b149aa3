"""The one refusal of whatever turns a file into pixels, and how foreign errors become its text."""

MAX_REASON_CHARACTERS = 300


class Unreadable(Exception):
    """A file that cannot become pixels; the text says why, for a person."""


def one_line(error: BaseException) -> str:
    """Return what an error says, as one line of bounded length; the name of its class if it says nothing."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= MAX_REASON_CHARACTERS else said[:MAX_REASON_CHARACTERS] + " ..."
