"""Markdown in blocks: what grows, what is closed, and what untrusted text may not do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.styles import get_style_by_name
from PySide6.QtGui import QColor, QPalette

from whisper_desktop.chat.code import style_name
from whisper_desktop.chat.markdown import is_web_address
from whisper_desktop.ui.chat import highlight, markdown_html
from whisper_desktop.ui.chat.markdown import LONGEST_BLOCK, LONGEST_CODE, Block, Splitter, split
from whisper_desktop.ui.chat.markdown_html import to_html, to_plain
from whisper_desktop.ui.theme import READABLE, colors, contrast, plain_palette, readable

ANSWER = """# Title

A *paragraph* with `code`.

```python
def f():
    return 1
```

- one
- two

| a | b |
|---|---|
| 1 | 2 |
"""


def grown(text: str, step: int = 1) -> Splitter:
    splitter = Splitter()
    for end in range(0, len(text) + 1, step):
        splitter.feed(text[:end])
    splitter.feed(text)
    return splitter


def test_blocks_are_told_apart_and_every_item_is_one() -> None:
    kinds = [(block.code, block.language, block.tight) for block in split(ANSWER)]
    text, item = (False, "", False), (False, "", True)
    assert kinds == [text, text, (True, "python", False), item, text, text]


def test_a_growing_answer_ends_in_the_same_blocks_as_the_whole_one() -> None:
    splitter = grown(ANSWER)
    splitter.feed(ANSWER, whole=True)
    assert tuple(splitter.closed) == split(ANSWER)
    assert splitter.open == ()


def test_only_the_last_block_of_a_growing_answer_is_open() -> None:
    splitter = grown(ANSWER)
    assert [block.closed for block in splitter.blocks] == [True] * 5 + [False]


def test_an_unclosed_fence_is_code_already() -> None:
    (block,) = grown("```js\nlet a = 1").blocks
    assert block == Block("let a = 1", code=True, language="js", closed=False)


def test_another_text_starts_afresh() -> None:
    splitter = Splitter()
    splitter.feed("one\n\ntwo")
    splitter.feed("three")
    assert [block.text for block in splitter.blocks] == ["three"]


@pytest.mark.parametrize("text", ["- a\n-- b\n\nc", "- a\n```\nx\n```", "a\n1b\n\n2"])
def test_what_may_still_become_something_else_closes_nothing(text: str) -> None:
    splitter = grown(text)
    splitter.feed(text, whole=True)
    assert tuple(splitter.closed) == split(text)


def test_the_numbers_of_a_list_go_on_from_item_to_item() -> None:
    text = "3. three\n3. four\n\n   more\n1. five\n\nThen\n\n1. one"
    assert [block.number for block in split(text)] == [3, 4, 5, None, 1]
    assert '<ol start="5">' in to_html(split(text)[2])
    assert [block.number for block in grown(text).blocks] == [3, 4, 5, None, 1]


def test_code_in_an_item_of_a_list_is_code_with_the_text_around_it() -> None:
    blocks = split("1. Install:\n\n   ```sh\n   pip install x\n     y\n   ```\n\n   Then run it.\n2. Done")
    assert [(block.text, block.code, block.indent, block.number) for block in blocks] == [
        ("1. Install:", False, 0, 1),
        ("pip install x\n  y", True, 1, None),
        ("Then run it.", False, 1, None),
        ("2. Done", False, 0, 2),
    ]


LINE = "x = [1, 2, 3]  # a line of code\n\n"


@pytest.mark.parametrize("step", [7, 133, 5000])
def test_endless_code_is_cut_into_short_pieces_and_none_of_it_is_lost(step: int) -> None:
    code = LINE * 500
    text = f"```python\n{code}```\n\nThe end."
    splitter = grown(text, step)
    splitter.feed(text, whole=True)
    *pieces, last = splitter.closed
    assert "".join(piece.text for piece in pieces) == code.rstrip("\n")
    assert all(len(piece.text) <= LONGEST_CODE for piece in pieces)
    assert {(piece.code, piece.language) for piece in pieces} == {(True, "python")}
    assert [piece.goes_on for piece in pieces] == [False] + [True] * (len(pieces) - 1)
    assert [piece.cut for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert last.text == "The end."


@pytest.mark.parametrize(
    "text",
    [
        "word " * 20_000,
        "- " + "word " * 20_000,
        "> quoted words\n" * 5_000,
        "| a |\n|---|\n" + "| b |\n" * 9_000,
    ],
)
def test_the_open_end_of_an_endless_block_never_gets_long(text: str) -> None:
    splitter = Splitter()
    for end in range(0, len(text), 2000):
        splitter.feed(text[:end])
        assert sum(len(block.text) for block in splitter.open) <= 2 * LONGEST_BLOCK
    assert len(splitter.closed) > 8


def test_the_rest_of_a_long_table_is_a_table_with_the_same_head() -> None:
    blocks = split("| a | b |\n|---|---|\n" + "| Lisbon | Sintra |\n" * 500)
    assert len(blocks) > 2
    assert all(to_html(block).startswith("<table") and "<th>a</th>" in to_html(block) for block in blocks)


@given(
    st.lists(
        st.sampled_from(
            ["a", " ", "\n", "\r\n", "```", "- ", "1. ", "> ", "|", "#", "*", "$$", "\\[", "\u2028"]
        ),
        max_size=40,
    )
)
def test_a_closed_block_never_changes_while_the_text_grows(pieces: list[str]) -> None:
    splitter = Splitter()
    text, closed = "", tuple[Block, ...]()
    for piece in pieces:
        text += piece
        splitter.feed(text)
        assert tuple(splitter.closed[: len(closed)]) == closed
        closed = tuple(splitter.closed)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<img src="http://example.org/x.png">',
        "![x](file:///etc/passwd)",
        "![x](http://example.org/x.png)",
        "[x](javascript:alert(1))",
        "[x](file:///etc/passwd)",
        "[x](data:text/html;base64,AAAA)",
        "[x](ftp://example.org/x)",
        "[x](smb://host/share)",
        "[x](//host/share)",
        '<a href="http://example.org">x</a>',
    ],
)
def test_a_model_cannot_place_html_images_or_other_links(text: str) -> None:
    html = "".join(to_html(block) for block in split(text))
    for tag in ("<script", "<img", "<a "):
        assert tag not in html


def test_web_links_stay_links() -> None:
    assert '<a href="https://example.org/a?b=1&amp;c=2">' in to_html(
        Block("[x](https://example.org/a?b=1&c=2)")
    )


@pytest.mark.parametrize(
    "url", ["", "http://", "https:", "ftp://a.b", "//a.b", "/etc/passwd", "http://[", "javascript:1"]
)
def test_what_is_no_web_address_is_not_opened(url: str) -> None:
    assert not is_web_address(url)


def test_a_screen_reader_hears_words_without_marks() -> None:
    assert to_plain("**Bold** and `code`\n\n- item") == "Bold and code\nitem"


def test_tasks_have_boxes() -> None:
    html = "".join(to_html(block) for block in split("- [ ] one\n- [x] two\n\n[ ] no task"))
    assert '<li class="unchecked">one' in html
    assert '<li class="checked">two' in html
    assert "[ ] no task" in html
    assert to_plain("- [ ] one\n- [x] two") == "☐ one\n☑ two"


def formulas(text: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []

    def formula(latex: str, display: bool) -> str:
        found.append((latex, display))
        return ""

    for block in split(text):
        if not block.code:
            to_html(block, formula)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("is $x^2$ here", [("x^2", False)]),
        ("is \\(a + b\\) here", [("a + b", False)]),
        ("$$\nx\n$$", [("x", True)]),
        ("\\[\na * b * c\n\\]", [("a * b * c", True)]),
        ("so $$x$$ it is", [("x", True)]),
        ("- item $n$", [("n", False)]),
        ("$5 and $6", []),
        ("$5-$6, or US$7", []),
        ("from $5 to 6$", []),
        ("a $x $ b", []),
        ("`$x$` and\n\n```\n$$x$$\n```", []),
        ("$$ never closed\n\nand more $$", []),
        ("$" + "x" * 3000 + "$", []),
    ],
)
def test_formulas_are_told_from_money_and_code(text: str, expected: list[tuple[str, bool]]) -> None:
    assert formulas(text) == expected


def test_a_formula_is_read_out_as_its_latex() -> None:
    assert to_plain("The $x^2$:\n\n$$\n\\frac a b\n$$") == "The x^2:\n\\frac a b"


def test_a_formula_without_its_end_is_shown_as_it_is() -> None:
    assert to_html(split("$$\nx^2")[0]) == "<p><code>x^2</code></p>"


@pytest.mark.parametrize("dark", [False, True])
def test_code_is_coloured_part_by_part(dark: bool) -> None:
    code = "def f():\n    return '<b>'  # why"
    found = list(highlight.spans(code, "python", dark=dark))
    words = {code[start : start + length] for start, length, _color in found}
    assert {"def", "# why"} <= words
    assert all(len(color) == 6 for _start, _length, color in found)


def test_code_in_an_unknown_language_or_without_end_has_one_colour() -> None:
    assert list(highlight.spans("a < b", "no-such-language", dark=False)) == []
    assert list(highlight.spans("a" * 5_000, "python", dark=False)) == []


@pytest.mark.parametrize(
    "palette", [plain_palette(dark=False), plain_palette(dark=True)], ids=["light", "dark"]
)
def test_every_colour_of_code_can_be_read_on_its_panel(palette: QPalette) -> None:
    paint = colors(palette)
    style = get_style_by_name(style_name(dark=paint.dark))
    names = {each["color"] for _kind, each in style if each["color"]}
    assert len(names) > 5
    for name in names:
        shown = readable(QColor(f"#{name}"), paint.panel, paint.text)
        assert contrast(shown, paint.panel) >= READABLE


@given(st.text(st.sampled_from("ab Z9.,;:?!'\"()%/–-_*`&<\n\t1é漢"), max_size=30))
def test_a_paragraph_without_marks_is_what_the_parser_makes_of_it(text: str) -> None:
    whole = markdown_html._parser().render(text).strip().replace("&quot;", '"')
    assert to_html(Block(text)).replace("&quot;", '"') in (whole, "<p></p>" if not text.strip() else whole)
