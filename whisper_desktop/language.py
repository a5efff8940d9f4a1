"""What a person reads, in their language: gettext catalogues over English source sentences.

    tr("{model} needs {size}.", model=name, size="3.1 GB")
    trn("one chat", "{count} chats", count)

The sentence itself is the key, so that the code reads as what is shown, and English needs no catalogue. Both
take literals only: what is shown can be collected from the source. Nothing here is slow to import.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gettext import NullTranslations
    from pathlib import Path

DOMAIN = "whisper_desktop"

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        "en": "English",
        "de": "Deutsch",
        "es": "Español",
        "fr": "Français",
        "zh_CN": "简体中文",
        "ja": "日本語",
    }
)
"""The languages there are, by code, each called as it calls itself."""

_in_use: "tuple[str, NullTranslations | None]" = ("en", None)  # None: the sentences as they stand here


def tr(text: str, /, **values: object) -> str:
    """A sentence in the language in use, its `{names}` filled with `values`."""
    catalogue = _in_use[1]
    translated = catalogue.gettext(text) if catalogue is not None and text else text
    return _filled(translated, values) if values else translated


def trn(one: str, many: str, count: int, /, **values: object) -> str:
    """The form of a sentence that fits `count`, which may stand in it as `{count}`."""
    catalogue = _in_use[1]
    english = one if count == 1 else many
    form = catalogue.ngettext(one, many, count) if catalogue is not None else english
    return _filled(form, {"count": count, **values})


def number(value: float, form: str) -> str:
    """A number as the language writes it: `form` is that of `format`, such as ",", ".1f"."""
    text = format(value, form)
    signs = _SIGNS.get(_in_use[0])
    return text.translate(signs) if signs else text


def gigabytes(size: float) -> str:
    """A size as people read it: "4.9 GB", of 10**9 bytes."""
    return tr("{size:.1f} GB", size=size / 1e9)


_SIGNS = {
    "de": str.maketrans(".,", ",."),
    "es": str.maketrans(".,", ",\u202f"),
    "fr": str.maketrans(".,", ",\u202f"),
}
"""What stands for the English decimal point and for its comma between thousands."""


def _filled(text: str, values: "Mapping[str, object]") -> str:
    if _in_use[0] not in _SIGNS:
        return text.format_map(values)
    from string import Formatter

    parts = []
    for before, name, form, how in Formatter().parse(text):
        parts.append(before)
        if name:
            value = values[name]
            if isinstance(value, int | float) and not isinstance(value, bool) and not how:
                parts.append(number(value, form or ""))
            else:
                parts.append(format(repr(value) if how == "r" else value, form or ""))
    return "".join(parts)


def listed(words: Sequence[str]) -> str:
    """Several names in a sentence: "Ollama", "Ollama and Jan", "Ollama, Jan and LM Studio"."""
    if len(words) < 2:
        return "".join(words)
    return tr("{first} and {last}", first=tr(", ").join(words[:-1]), last=words[-1])


def mark(text: str) -> str:
    """A sentence that is collected for translation here and translated by `tr` where it is shown."""
    return text


def use(wanted: str, folder: "Path") -> str:
    """Speak this language from now on: a code of `LANGUAGES`, or "system". Returns the code in use.

    `folder` holds the catalogues (`de/LC_MESSAGES/whisper_desktop.mo`). One that cannot be read: English.
    """
    global _in_use  # noqa: PLW0603 - one language for the whole program is what it is for
    code = of_system() if wanted == "system" else wanted
    _in_use = ("en", None)
    if code in LANGUAGES and code != "en":
        from gettext import translation
        from struct import error as struct_error

        with suppress(OSError, ValueError, UnicodeError, struct_error):
            _in_use = (code, translation(DOMAIN, str(folder), [code]))
    return _in_use[0]


def use_catalogue(code: str, catalogue: "NullTranslations | None") -> None:
    """Speak with this catalogue, wherever it comes from; None: English."""
    global _in_use  # noqa: PLW0603
    _in_use = (code, catalogue)


def in_use() -> str:
    """The code of the language in use."""
    return _in_use[0]


def of_system() -> str:
    """The code in `LANGUAGES` that fits what the system says; English where none does."""
    names = [os.environ.get(name, "") for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")]
    said = [part for name in names for part in name.split(":") if part]
    if not said:  # on Windows and macOS nothing of the kind is set
        import locale

        said = [locale.getlocale()[0] or ""]
    for name in said:
        if (code := matching(name)) is not None:
            return code
    return "en"


def matching(name: str) -> str | None:
    """The code in `LANGUAGES` for a locale's name ("de_AT.UTF-8", "zh-Hans-CN"); None where there is none."""
    plain = name.partition(".")[0].partition("@")[0].replace("-", "_")
    if plain in ("C", "POSIX"):
        return "en"
    if plain in LANGUAGES:
        return plain
    spoken = plain.partition("_")[0].lower()
    if spoken in ("zh", "chinese"):  # readers of traditional characters are better served in English
        return None if any(part in plain for part in ("TW", "HK", "MO", "Hant")) else "zh_CN"
    return spoken if spoken in LANGUAGES else None
