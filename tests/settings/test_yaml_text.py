"""One value changed in a text, and everything else as the person wrote it."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from whisper_desktop.settings.yaml_text import YamlProblem, read_entries, with_value

PORT = ("llm", "lmstudio", "port")
MODEL = ("llm", "model_name")

_FULL = """\
# Settings of mine, 2025
llm:   # the models
  # tried many
  backend: ollama   # works best
  lmstudio:
    port: 1234 # default

    # needs a display
    use_xvfb: false
  fallback_chain:
    - ollama
    - jan  # sometimes
  # end of llm

ui:
  theme: "dark"
"""

_EDITS = [
    ("a value is replaced, its comment stays", _FULL, PORT, 1300, ("port: 1234 #", "port: 1300 #")),
    ("a quoted value is replaced", _FULL, ("ui", "theme"), "light", ('theme: "dark"', "theme: light")),
    (
        "a new key goes behind its brothers",
        _FULL,
        ("ui", "setup_done"),
        True,
        ('theme: "dark"\n', 'theme: "dark"\n  setup_done: true\n'),
    ),
    (
        "a new key of a section in the middle",
        _FULL,
        ("llm", "lmstudio", "appimage_path"),
        "/x y",
        ("use_xvfb: false\n", "use_xvfb: false\n    appimage_path: /x y\n"),
    ),
    (
        "a new key behind a block list keeps clear of it",
        _FULL,
        MODEL,
        "m",
        ("jan  # sometimes\n", "jan  # sometimes\n  model_name: m\n"),
    ),
    (
        "a block list becomes a short one",
        _FULL,
        ("llm", "fallback_chain"),
        ["jan"],
        ("fallback_chain:\n    - ollama\n    - jan  #", "fallback_chain: [jan]  #"),
    ),
    (
        "a new section goes to the end",
        _FULL,
        ("privacy", "server_reach"),
        {},
        ('theme: "dark"\n', 'theme: "dark"\nprivacy:\n  server_reach: {}\n'),
    ),
    ("an empty text", "", PORT, 5, ("", "llm:\n  lmstudio:\n    port: 5\n")),
    ("a text of comments", "# only this", MODEL, "m", ("this", "this\nllm:\n  model_name: m\n")),
    ("an empty section", "llm: # soon\nui:\n", MODEL, "m", ("# soon\n", "# soon\n  model_name: m\n")),
    (
        "an empty section at the end without a line break",
        "ui:\nllm:",
        PORT,
        5,
        ("llm:", "llm:\n  lmstudio:\n    port: 5\n"),
    ),
    ("an empty value", "llm:\n  model_name: # none\n", MODEL, "m", ("model_name:", "model_name: m")),
    ("an empty value at the end", "llm:\n  model_name:", MODEL, "m", ("model_name:", "model_name: m")),
    ("no line break at the end", "llm:\n  mode: http", MODEL, "m", ("http", "http\n  model_name: m\n")),
    ("braces", "llm: {mode: http} # x\n", MODEL, "m", ("http}", "http, model_name: m}")),
    ("empty braces", "llm: {}\n", PORT, 5, ("{}", "{lmstudio: {port: 5}}")),
    ("the other spelling of a section", "llm:\n  lm_studio:\n    port: 1\n", PORT, 5, ("port: 1", "port: 5")),
    ("a repeated key: the one that counts", "ui:\n  a: 1\n  a: 2\n", ("ui", "a"), 3, ("a: 2", "a: 3")),
    (
        "a text over several lines",
        "ui:\n  a: |\n    x\n    y\n  b: 1\n",
        ("ui", "a"),
        "z",
        ("|\n    x\n    y", "z"),
    ),
    ("a new key behind such a text", "ui:\n  a: |\n    x\n", ("ui", "b"), 1, ("    x\n", "    x\n  b: 1\n")),
    (
        "lines that end as on Windows",
        "llm:\r\n  mode: http\r\nui:\r\n",
        MODEL,
        "m",
        ("http\r\n", "http\r\n  model_name: m\r\n"),
    ),
    (
        "a value that needs quotes",
        "llm:\n  model_name: a\n",
        MODEL,
        "3.1: x # y",
        ("name: a", "name: '3.1: x # y'"),
    ),
    ("four spaces", "llm:\n    mode: http\n", MODEL, "m", ("http\n", "http\n    model_name: m\n")),
    ("automatic", "llm:\n  backend: ollama # x\n", ("llm", "backend"), None, ("ollama", "null")),
]


@pytest.mark.parametrize(
    ("text", "path", "value", "change"), [row[1:] for row in _EDITS], ids=[row[0] for row in _EDITS]
)
def test_one_place_changes(text: str, path: tuple[str, ...], value: object, change: tuple[str, str]) -> None:
    old, new = change
    assert text.count(old) == 1 or not old
    assert with_value(text, path, value) == (text.replace(old, new) if old else new)


@pytest.mark.parametrize(
    "text",
    [
        "common: &c {mode: http}\nllm: *c\n",
        "llm: &l\n  mode: &m http\nui: *l\n",
        "llm: five\n",
    ],
)
def test_what_cannot_be_changed_alone_is_left_to_the_person(text: str) -> None:
    with pytest.raises(YamlProblem):
        with_value(text, ("llm", "mode"), "direct")


_NAMES = st.sampled_from(["llm", "ui", "a", "b", "mode", "backend", "lmstudio", "x y", "on", "7"])
_SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.floats(allow_nan=False)
_TABLES = st.dictionaries(
    _NAMES,
    st.recursive(
        _SCALARS | st.lists(_SCALARS, max_size=3),
        lambda inner: st.dictionaries(_NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
_STYLES = st.fixed_dictionaries(
    {"indent": st.sampled_from([2, 4, 7]), "default_flow_style": st.sampled_from([False, None, True])}
)


@given(
    table=_TABLES,
    style=_STYLES,
    path=st.lists(_NAMES, min_size=1, max_size=3).map(tuple),
    value=_SCALARS | st.lists(st.text(max_size=4), max_size=2),
)
@settings(max_examples=300, deadline=None)
def test_a_change_of_any_text_touches_nothing_else_or_is_refused(
    table: dict[str, object], style: dict[str, Any], path: tuple[str, ...], value: object
) -> None:
    text = yaml.safe_dump(table, allow_unicode=True, **style)
    before = {entry.path: entry.value for entry in read_entries(text)}
    try:
        changed = with_value(text, path, value)
    except YamlProblem:
        return
    after = {entry.path: entry.value for entry in read_entries(changed)}
    assert repr(after.pop(path)) == repr(value)
    for other, kept in after.items():
        assert repr(before[other]) == repr(kept)
    gone = [other for other in before if other not in after and other != path]
    assert all(other[: len(path)] == path or path[: len(other)] == other for other in gone)


def test_lines_are_told_for_every_value() -> None:
    entries = {entry.path: entry.line for entry in read_entries(_FULL)}
    assert entries[PORT] == 6
    assert entries[("llm", "fallback_chain")] == 10
    assert entries[("ui", "theme")] == 16


def test_names_are_text_even_where_yaml_reads_something_else() -> None:
    assert [entry.path for entry in read_entries("on: 1\n7: 2\nnull: 3\n")] == [("on",), ("7",), ("null",)]


def test_a_name_that_is_a_list_is_reported() -> None:
    (entry,) = read_entries("? [a, b]\n: 1\n")
    assert entry.problem
