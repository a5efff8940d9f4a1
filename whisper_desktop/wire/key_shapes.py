"""What a key looks like, so that one that was put in the wrong place is not repeated. Pure text."""

import re

_LIKE_A_KEY = re.compile(r"(?i)\b(?:sk|pk|rk|gsk|hf|xai)[-_][\w-]{8}|[\w+=-]{32}")
_SURELY_A_KEY = re.compile(r"(?i)\b(?:sk|pk|rk|gsk|hf|xai)[-_](?=[\w-]*\d)[\w-]{12}")


def may_hold_a_key(text: str) -> bool:
    """Whether a text is better not quoted. Errs on the side of silence."""
    return _LIKE_A_KEY.search(text) is not None


def holds_a_key(text: str) -> bool:
    """Whether a part of a text can hardly be anything but a key."""
    return _SURELY_A_KEY.search(text) is not None
