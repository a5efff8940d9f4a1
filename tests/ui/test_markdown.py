"""Markdown in blocks: what grows, what is closed, and what untrusted text may not do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.ui.chat import highlight
from whisper_desktop.ui.chat.markdown import Block, Splitter, is_web_address, split, to_html, to_plain

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


def test_blocks_are_told_apart() -> None:
    kinds = [(block.code, block.language) for block in split(ANSWER)]
    assert kinds == [(False, ""), (False, ""), (True, "python"), (False, ""), (False, "")]


def test_a_growing_answer_ends_in_the_same_blocks_as_the_whole_one() -> None:
    splitter = Splitter()
    for end in range(len(ANSWER) + 1):
        blocks = splitter.feed(ANSWER[:end])
    assert [block.text for block in blocks] == [block.text for block in split(ANSWER)]


def test_only_the_last_block_of_a_growing_answer_is_open() -> None:
    blocks = Splitter().feed(ANSWER)
    assert [block.closed for block in blocks] == [True, True, True, True, False]


def test_an_unclosed_fence_is_code_already() -> None:
    (block,) = Splitter().feed("```js\nlet a = 1")
    assert block == Block("let a = 1", code=True, language="js", closed=False)


def test_another_text_starts_afresh() -> None:
    splitter = Splitter()
    splitter.feed("one\n\ntwo")
    assert [block.text for block in splitter.feed("three")] == ["three"]


@given(
    st.lists(
        st.sampled_from(["a", " ", "\n", "\r\n", "```", "- ", "> ", "|", "#", "*", "\u2028"]), max_size=40
    )
)
def test_a_closed_block_never_changes_while_the_text_grows(pieces: list[str]) -> None:
    splitter = Splitter()
    text, closed = "", tuple[Block, ...]()
    for piece in pieces:
        text += piece
        blocks = splitter.feed(text)
        assert blocks[: len(closed)] == closed
        closed = blocks[:-1]


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


def test_an_endless_block_is_shown_as_it_is() -> None:
    text = "word " * 10_000
    (block,) = split(text)
    assert to_html(block).startswith('<p style="white-space: pre-wrap">word word')


@pytest.mark.parametrize("dark", [False, True])
def test_code_is_coloured_and_stays_the_same_text(dark: bool) -> None:
    html = highlight.to_html("def f():\n    return '<b>'", "python", dark=dark)
    assert "<span" in html
    assert "<b>" not in html


def test_code_in_an_unknown_language_is_shown_plain() -> None:
    assert highlight.to_html("a < b", "no-such-language", dark=False) == "a &lt; b"
