"""Every sentence that a window may show can be translated, and every catalogue is complete."""

import ast
import inspect
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import translations

from whisper_desktop import errors
from whisper_desktop.language import gigabytes, listed, matching, number, tr, trn, use

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "whisper_desktop"
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parts[len(PACKAGE.parts)] != "cli"]

OURS = {"tr": 1, "mark": 1, "trn": 2}
"""How many literals each takes."""

ERRORS = {
    name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
}
SHOWING = ERRORS | {
    *("Notice", "Repair", "DownloadLink", "Entry", "Banner", "Instruction"),
    *("heading", "plain", "secondary", "toned", "QLabel", "QPushButton", "QAction", "QCheckBox", "QGroupBox"),
    *(
        "QRadioButton",
        "QToolButton",
        "QMenu",
        "setText",
        "setWindowTitle",
        "setToolTip",
        "setPlaceholderText",
    ),
    *("setAccessibleName", "setAccessibleDescription", "setTitle", "setHeaderLabels", "addAction", "addTab"),
    *("addMenu", "setStatusTip", "setInformativeText", "setWhatsThis", "setSuffix", "setSpecialValueText"),
}
"""Whose arguments a person reads."""


def called(call: ast.Call) -> str:
    """The name of what is called."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def calls(path: Path) -> Iterator[ast.Call]:
    """Every call in a file."""
    return (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call))


def fields(text: str) -> set[str]:
    """The names in braces."""
    return {name for _text, name, _form, _how in string.Formatter().parse(text) if name}


def literals(node: ast.expr) -> Iterator[str]:
    """The texts that an argument may be, as far as they are written there."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
            yield from literals(left)
            yield from literals(right)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from literals(part)
        case _:
            pass


def read(call: ast.Call) -> Iterator[ast.expr]:
    """The arguments that are shown: the first ones, unless something else comes before them."""
    name = called(call)
    if name in ERRORS:
        yield from call.args[:3]
    elif name == "addTab":
        yield from call.args[-1:]
    else:
        yield from call.args[: 2 if name in ("Banner", "Notice", "Repair") else 1]
    yield from (each.value for each in call.keywords if each.arg in ("detail", "next_step", "text"))


def reads_as_words(text: str) -> bool:
    """Whether a text is more than a name, an id, a number or a sign."""
    return any(len(word) > 1 and word.isalpha() for word in text.split()) and text not in NAMES


NAMES = {"Whisper Desktop", "LM Studio", "Ollama", "OpenRouter", "NVIDIA"}
"""Words that are the same in every language."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_translated_is_written_out_with_a_value_for_every_name(path: Path) -> None:
    for call in calls(path):
        count = OURS.get(called(call)) if isinstance(call.func, ast.Name) else None
        if count is None or (called(call) == "tr" and not isinstance(call.args[0], ast.Constant)):
            continue  # tr(CONSTANT) shows what was collected by mark
        texts = call.args[:count]
        where = f"{path.name}:{call.lineno}"
        assert all(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in texts), where
        if called(call) == "mark" or any(keyword.arg is None for keyword in call.keywords):
            continue
        given = {keyword.arg for keyword in call.keywords} | ({"count"} if called(call) == "trn" else set())
        wanted = set().union(*(fields(each.value) for each in texts)) if given else set()  # type: ignore[attr-defined]
        assert wanted == (given - {"count"}) | (wanted & {"count"}), where


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_whatever_a_person_reads_can_be_translated(path: Path) -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {text!r}"
        for call in calls(path)
        if called(call) in SHOWING
        for argument in read(call)
        for text in literals(argument)
        if reads_as_words(text)
    ]
    assert bare == []


@pytest.mark.parametrize("code", translations.TRANSLATED)
def test_every_catalogue_is_complete_right_and_compiled(code: str) -> None:
    kept = translations.catalogue(code)
    collected = translations.collect(code)
    assert [each.id for each in translations.missing(collected)] == []
    assert {each.id for each in kept} == {each.id for each in collected}
    assert list(translations.faults(kept)) == []
    assert translations.mo_file(code).read_bytes() == translations.compiled(kept)


@pytest.fixture
def in_german() -> Iterator[None]:
    """German is spoken until the end of the test."""
    assert use("de", translations.FOLDER) == "de"
    yield
    use("en", translations.FOLDER)


@pytest.mark.usefixtures("in_german")
def test_a_sentence_is_said_in_the_language_in_use_with_the_form_for_the_number() -> None:
    assert tr("Try again, or use another backend.") != "Try again, or use another backend."
    one, many = (trn("{count} minute", "{count} minutes", count) for count in (1, 3))
    assert (one, many) == ("1 Minute", "3 Minuten")
    assert listed(["A", "B", "C"]) == "A, B und C"
    assert (gigabytes(4_900_000_000), number(8192, ",")) == ("4,9 GB", "8.192")
    sizes = trn("One model, {size} on disk", "{count:,} models, {size} on disk", 1234, size="x")
    assert sizes.startswith("1.234")
    assert tr("") == ""


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("de_AT.UTF-8", "de"),
        ("zh-Hans-CN", "zh_CN"),
        ("zh_TW.UTF-8", None),
        ("ja_JP.eucJP", "ja"),
        ("C.UTF-8", "en"),
        ("nl_NL", None),
        ("", None),
    ],
)
def test_the_system_s_language_is_understood(said: str, code: str | None) -> None:
    assert matching(said) == code


def test_a_catalogue_that_is_missing_or_damaged_means_english(tmp_path: Path) -> None:
    assert use("fr", tmp_path) == "en"
    broken = tmp_path / "fr" / "LC_MESSAGES" / "whisper_desktop.mo"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\x00" * 40)
    assert use("fr", tmp_path) == "en"
    assert tr("Ask again.") == "Ask again."
