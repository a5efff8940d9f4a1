"""Taking out of a text what is nobody else's business: keys, names, the home folder, what was written. Pure.

It errs on the side of silence: what merely looks like a key is taken out too.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

HIDDEN = "[hidden]"
_USER, _COMPUTER, _ADDRESS = "[user]", "[computer]", "[mail address]"
_LEFT_OUT = "[a line that may hold what was written is left out]"

_LEAST_SECRET = 6  # characters: a shorter value of a variable is more likely "yes" than a key
_NOBODY = frozenset(
    {"root", "user", "home", "admin", "administrator", "localhost", "localdomain", "computer"}
)
"""Names that say nothing about a person."""

_SECRET_NAME = re.compile(r"(?i)(?:(?:^|_)(?:api_?)?key(?:$|_)|token|secret|passw|credential)")
_BLOCK = re.compile(r"-----BEGIN [^-]*KEY-----.*?(?:-----END [^-]*KEY-----|\Z)", re.DOTALL)
_SAID: tuple[tuple[re.Pattern[str], str], ...] = (
    # A scheme with its credentials, as in a header.
    (re.compile(r"(?i)\b(bearer|basic|digest|negotiate|token)\s+[\w.+/=~:-]{6,}"), rf"\1 {HIDDEN}"),
    # A name that says what stands behind it, as in a header, a query, JSON, YAML or an environment.
    (
        re.compile(
            r"""(?ix) \b ([\w-]*(?:api[_-]?key|apikey|access[_-]?key|token(?!s)|secret|passw(?:or)?d
            |passphrase|credential|authorization|cookie|code[_-]?verifier)[\w-]*) (["']?\s*[:=]\s*["']?)
            (?!\[hidden\]|(?:bearer|basic)\b) [^\s"'&,;}]+"""
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"([?&](?:key|code|sig|signature|auth)=)[^&\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"://[^/\s@]+@"), f"://{HIDDEN}@"),
    (
        re.compile(r"(?i)\b(?:sk|pk|rk|gsk|hf|xai|pplx|nvapi|r8|glpat|dop|shpat|sq0|ya29)[-_.][\w-]{6,}"),
        HIDDEN,
    ),
    (re.compile(r"\b(?:gh[oprsu]|github_pat)_\w{6,}"), HIDDEN),
    (re.compile(r"\b(?:xox[abeoprs]-[\w-]{6,}|AIza[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{12,})"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), HIDDEN),
)
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_LONG_FROM = 32  # characters
_LONG = re.compile(rf"[\w+/=-]{{{_LONG_FROM},}}")
_HOMES = re.compile(r"(?i)(?:/home/|/Users/|\b[a-z]:(?:\\\\?|/)Users(?:\\\\?|/))[^/\\\s\"':;,]+")
_WRITTEN = re.compile(
    r"""(?ix) ["']? \b (?:prompt|messages|content|input|question|completion|response|generated_text) \b ["']?
    \s* [:=] \s* (?: ["'\[{] | \S )""",
)


@dataclass(frozen=True, slots=True)
class Private:
    """What is known to be private: exact `secrets`, the `homes` as paths, the names of user and computer.

    `known` are names that only look like keys, such as those of models.
    """

    secrets: Collection[str] = ()
    homes: Collection[str] = ()
    users: Collection[str] = ()
    computers: Collection[str] = ()
    known: Collection[str] = ()


def secrets_of(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values of variables whose names say that they are secret."""
    return tuple(
        value for name, value in env.items() if _SECRET_NAME.search(name) and len(value) >= _LEAST_SECRET
    )


def redactor(private: Private) -> Callable[[str], str]:
    """The function that takes it all out of a text."""
    secrets = _any_of(value for value in private.secrets if len(value) >= _LEAST_SECRET)
    homes = _any_of(_spellings(private.homes))
    users = _names(private.users)
    computers = _names(private.computers)
    known = {part for name in private.known for part in re.split(r"[^\w+=-]", name)}

    def long_one(found: re.Match[str]) -> str:
        """A long run is only left where it is a path of short parts, or made of names that are known."""
        text, before = found[0], found.string[: found.start()][-1:]
        is_path = text.startswith("/") or before in ("~", ".", ":")
        parts = text.split("/")
        if all(part in known or (is_path and len(part) < _LONG_FROM) for part in parts):
            return text
        return HIDDEN

    def redacted(text: str) -> str:
        text = secrets.sub(HIDDEN, text) if secrets else text
        text = _BLOCK.sub(HIDDEN, text)
        text = "\n".join(_LEFT_OUT if _WRITTEN.search(line) else line for line in text.split("\n"))
        for pattern, instead in _SAID:
            text = pattern.sub(instead, text)
        text = homes.sub("~", text) if homes else text
        text = _HOMES.sub("~", text)
        text = _MAIL.sub(_ADDRESS, text)
        text = _LONG.sub(long_one, text)
        text = users.sub(_USER, text) if users else text
        return computers.sub(_COMPUTER, text) if computers else text

    return redacted


def _any_of(values: Iterable[str]) -> re.Pattern[str] | None:
    # The longest first: what contains another must not be left half.
    ordered = sorted({value for value in values if value}, key=len, reverse=True)
    return re.compile("|".join(re.escape(value) for value in ordered)) if ordered else None


def _names(names: Collection[str]) -> re.Pattern[str] | None:
    wanted = sorted({name for name in names if name and name.lower() not in _NOBODY}, key=len, reverse=True)
    if not wanted:
        return None
    return re.compile(rf"(?i)(?<![^\W_])(?:{'|'.join(re.escape(name) for name in wanted)})(?![^\W_])")


def _spellings(paths: Collection[str]) -> list[str]:
    """A path as it may stand in a text: as it is, with the other slashes, escaped, and in an address."""
    found = []
    for path in paths:
        plain = path.rstrip("/\\")
        if len(plain) > 1:
            slashes = plain.replace("\\", "/")
            found += [plain, slashes, plain.replace("\\", "\\\\"), slashes.replace(" ", "%20")]
    return found
