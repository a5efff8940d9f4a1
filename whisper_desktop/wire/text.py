"""Text that a model wrote, made safe to show and to store. No I/O."""


def text_of(value: object) -> str:
    """The text, "" for anything that is none.

    JSON can carry half of a surrogate pair, which no terminal and no file takes: it becomes U+FFFD, and two
    halves in a row the character they mean.
    """
    if not isinstance(value, str):
        return ""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
