"""The catalogues of `resources/translations`: collected from the source, filled, checked and compiled.

    python packaging/translations.py                    collect, compile, and say what is missing
    python packaging/translations.py missing de         what has no translation yet, as JSON
    python packaging/translations.py fill de FILE       take translations from JSON of that shape

The terminal speaks English, so `cli/` is left out. A `.mo` lies beside its `.po` because the app reads that
one, and neither a checkout nor a wheel has a build step; a test compares them.
"""

import ast
import json
import re
import string
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from whisper_desktop.language import DOMAIN, LANGUAGES

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "resources" / "translations"
SHOWN = {
    "tr": slice(0, 1),
    "mark": slice(0, 1),
    "trn": slice(0, 2),
    "Expects": slice(0, 1),
    "_setting": slice(1, 3),
}
"""Whose literals are shown, and which of their arguments; those of `trn` are one sentence in two forms."""

_COUNT = {"count!:", "count!:,"}  # "one minute" need not repeat the number

TRANSLATED = tuple(code for code in LANGUAGES if code != "en")
Key = str | tuple[str, str]


def source() -> Catalog:
    """Every sentence that the program may show, with the files it stands in."""
    catalog = Catalog(domain=DOMAIN, project="Whisper Desktop", charset="utf-8")
    package = ROOT / "whisper_desktop"
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith("cli/"):
            for message in sentences(path.read_text("utf-8")):
                catalog.add(message, locations=[(name, 0)])
    return catalog


def sentences(code: str) -> Iterator[Key]:
    """The literals that are shown, also those inside f-strings, in the order of the code."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        name = getattr(call.func, "id", "")
        if name not in SHOWN:
            continue
        given = [node.value for node in call.args[SHOWN[name]] if isinstance(node, ast.Constant)]
        texts = [text for text in given if isinstance(text, str) and text]
        if name == "trn" and len(texts) == 2:
            yield (texts[0], texts[1])
        else:
            yield from texts


def po_file(code: str) -> Path:
    """Where a language's sentences are kept, for people."""
    return FOLDER / code / "LC_MESSAGES" / f"{DOMAIN}.po"


def mo_file(code: str) -> Path:
    """The same for the program."""
    return po_file(code).with_suffix(".mo")


def catalogue(code: str) -> Catalog:
    """A language's catalogue as it is kept; an empty one where there is none yet."""
    if not po_file(code).exists():
        return Catalog(locale=code, domain=DOMAIN, project="Whisper Desktop", charset="utf-8")
    with po_file(code).open("rb") as stream:
        return read_po(stream, locale=code, domain=DOMAIN)


def compiled(catalog: Catalog) -> bytes:
    """A catalogue in gettext's binary form."""
    stream = BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def collect(code: str) -> Catalog:
    """The catalogue with exactly the sentences of the source, its translations kept."""
    catalog = catalogue(code)
    catalog.update(source(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    return catalog


def write(code: str, catalog: Catalog) -> None:
    """Keep a catalogue in both forms."""
    po_file(code).parent.mkdir(parents=True, exist_ok=True)
    with po_file(code).open("wb") as stream:
        write_po(stream, catalog, width=110, omit_header=False, sort_by_file=True, include_lineno=False)
    mo_file(code).write_bytes(compiled(catalog))


def missing(catalog: Catalog) -> list[Message]:
    """The sentences without a whole translation."""
    return [each for each in catalog if each.id and not _is_whole(each, catalog)]


def _is_whole(message: Message, catalog: Catalog) -> bool:
    if isinstance(message.string, tuple | list):
        return len(message.string) == catalog.num_plurals and all(message.string)
    return bool(message.string)


def faults(catalog: Catalog) -> Iterator[str]:
    """What would break or mislead: other names in braces, lost spaces at the ends, lost commands."""
    for message in catalog:
        if not message.id or not _is_whole(message, catalog):
            continue
        originals = message.id if isinstance(message.id, tuple | list) else (message.id,)
        strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
        for text in strings:
            yield from (f"{problem}: {text!r}" for problem in _problems(originals, str(text)))


def _problems(originals: tuple[str, ...] | list[str], text: str) -> Iterator[str]:
    last = originals[-1]
    wanted = set().union(*map(_fields, originals))
    try:
        given = _fields(text)
    except ValueError:
        yield f"its braces do not match, for {last!r}"
        return
    if not given <= wanted or (_fields(last) - given) - (_COUNT if len(originals) > 1 else set()):
        yield f"other names in braces than {last!r}"
    for edge in (slice(0, 1), slice(-1, None)):
        if last[edge].isspace() != text[edge].isspace() and text[-1:] not in "、，。":
            yield f"another space at an end than {last!r}"
    if sorted(re.findall(r"`[^`]*`", last)) != sorted(re.findall(r"`[^`]*`", text)):
        yield f"another command than in {last!r}"


def _fields(text: str) -> set[str]:
    """The names in braces, with how each is to be written."""
    parts = string.Formatter().parse(text)
    return {f"{name}!{how or ''}:{form}" for _before, name, form, how in parts if name is not None}


def to_json(messages: list[Message]) -> str:
    """Sentences to translate, each with its English forms, where it stands, and room for what to say."""
    return json.dumps(
        [
            {
                "english": list(each.id) if isinstance(each.id, tuple | list) else [each.id],
                "where": sorted({name for name, _line in each.locations})[:2],
                "say": [],
            }
            for each in messages
        ],
        ensure_ascii=False,
        indent=1,
    )


def fill(catalog: Catalog, text: str) -> list[str]:
    """Take translations; returns what was wrong with those that were left out."""
    left_out = []
    for entry in json.loads(text):
        english, say = tuple(entry["english"]), entry["say"]
        message = catalog.get(english if len(english) > 1 else english[0])
        if message is None:
            left_out.append(f"not in the source: {english}")
            continue
        if len(english) > 1 and len(say) != catalog.num_plurals:
            left_out.append(f"{catalog.num_plurals} forms are wanted: {english}")
            continue
        wrong = [problem for each in say for problem in _problems(english, each)]
        if not say or wrong:
            left_out += wrong or [f"nothing said for {english}"]
            continue
        message.string = tuple(say) if len(english) > 1 else say[0]
    return left_out


def main(arguments: list[str]) -> int:
    """Do what was asked; 1 where something is missing or wrong."""
    if arguments[:1] == ["missing"] and len(arguments) == 2:
        print(to_json(missing(collect(arguments[1]))))
        return 0
    if arguments[:1] == ["fill"] and len(arguments) == 3:
        code = arguments[1]
        catalog = collect(code)
        left_out = fill(catalog, Path(arguments[2]).read_text("utf-8"))
        write(code, catalog)
        print(*left_out, f"{code}: {len(missing(catalog))} of {len(catalog)} missing", sep="\n")
        return 1 if left_out else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    failed = 0
    for language in TRANSLATED:
        catalog = collect(language)
        write(language, catalog)
        wrong = list(faults(catalog))
        print(f"{language}: {len(missing(catalog))} of {len(catalog)} missing", *wrong, sep="\n  ")
        failed = failed or int(bool(missing(catalog) or wrong))
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
