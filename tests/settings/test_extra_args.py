"""The person's own llama-server options: how they may be written, and what is refused with which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.settings.conftest import Home
from whisper_desktop.settings import set_config
from whisper_desktop.settings.schema import SETTINGS, checked

KEY = "llm.llamacpp.extra_args"
INFO = SETTINGS[tuple(KEY.split("."))]
A_KEY = "sk-proj-" + "1a2B" * 8


def test_they_are_written_like_a_command_line_or_as_a_list(home: Home) -> None:
    for written in ("\"--mmproj '/models/my eye.gguf' -b 512\"", "[--mmproj, /models/my eye.gguf, -b, 512]"):
        home.config.write_text(f"llm: {{llamacpp: {{extra_args: {written}}}}}\n")
        loaded = home.load()
        assert loaded.problems == ()
        assert loaded.settings.llm.llamacpp.extra_args == ("--mmproj", "/models/my eye.gguf", "-b", "512")
    env = {"WHISPER_LLM__LLAMACPP__EXTRA_ARGS": "--mlock"}
    assert home.load(env=env).settings.llm.llamacpp.extra_args == ("--mlock",)


def test_what_config_set_writes_is_read_again(home: Home) -> None:
    set_config(KEY, r'--mmproj "C:\my models\eye.gguf" -fa on', env=home.env)
    assert home.load().settings.llm.llamacpp.extra_args == ("--mmproj", r"C:\my models\eye.gguf", "-fa", "on")


@given(st.lists(st.text("ab-/\\.=:0 ", min_size=1, max_size=9), max_size=5))
def test_quoted_words_come_out_as_they_went_in(words: list[str]) -> None:
    assert checked(INFO, " ".join(f'"{word}"' for word in words)) == tuple(words)


def test_the_long_name_of_a_file_is_no_key() -> None:
    words = ("--mmproj", "/models/mmproj-model-with-a-very-long-name-of-its-own-f16.gguf")
    assert checked(INFO, list(words)) == words


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("-m other.gguf", "llm.gguf_model_path"),
        ("--model other.gguf", "llm.gguf_model_path"),
        ("-hf somebody/model", "llm.gguf_model_path"),
        ("--port 8080", "llm.llamacpp.engine_port"),
        ("--port=8080", "llm.llamacpp.engine_port"),
        ("--host 0.0.0.0", "this computer only"),
        ("--api-key secret", "new key for each start"),
        ("--api-key-file /keys", "new key for each start"),
        ("--hf-token secret", "key does not belong"),
        (f"--lora {A_KEY}", "looks like a key"),
        (f"--lora /models/{A_KEY}", "looks like a key"),
        ("--lora " + "a1" * 20, "looks like a key"),
        ('--lora "/models', "quotation mark"),
        ("--lora a\nb\x1b[1m", "control characters"),
        (["--lora", True], "as on a command line"),
        (["--lora", ["x"]], "as on a command line"),
        (7, "as on a command line"),
        ("-b 1 " * 101, "as on a command line"),
        ("x" * 4097, "too long"),
    ],
)
def test_what_is_refused_says_where_it_belongs_and_shows_no_key(written: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        checked(INFO, written)
    assert A_KEY not in str(caught.value)
    assert "a1" * 20 not in str(caught.value)
