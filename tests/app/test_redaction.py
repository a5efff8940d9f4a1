"""What is private never leaves: keys of many shapes, names, homes, and what was written."""

import pytest

from whisper_desktop.app.redaction import HIDDEN, Private, redactor, secrets_of

# Made up; each has the shape of a real one.
KEYS = [
    "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sk-proj-AbCdEf012345_ghIJkl-678901",
    "sk-ant-api03-Zx9_0123456789abcdef-AA",
    "AIzaSyA0123456789_abcdefghijklmnopqrstu",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "gsk_0123456789abcdefABCDEF",
    "xai-0123456789abcdefABCDEF",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_11ABCDEFG0123456789_abcdefghij",
    "xoxb-123456789012-123456789012-AbCdEfGhIjKl",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "0123456789abcdef0123456789abcdef",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9v+/==",
]
PLACES = [
    "{}",
    "Authorization: Bearer {}",
    "authorization: {}",
    '{{"api_key": "{}"}}',
    "x-api-key: {}",
    "OPENAI_API_KEY={}",
    "https://example.org/v1/models?key={}&alt=sse",
    "https://somebody:{}@example.org/",
    "the key '{}' was refused",
    "llm.token: {}",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_taken_out_wherever_it_stands(key: str, place: str) -> None:
    clean = redactor(Private())(f"before\n{place.format(key)}\nafter")
    assert key not in clean
    assert clean.startswith("before\n")
    assert clean.endswith("\nafter")


@pytest.mark.parametrize(
    "line",
    [
        "password = hunter2",
        "Authorization: Basic dXNlcjpwYXNz",
        "http://me:hunter2@192.168.1.4:8080/v1",
        "Set-Cookie: hunter2=abc",
        '"access_token":"hunter2"',
        "--api-key: hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2 and cut off here",
    ],
)
def test_a_short_secret_is_known_by_what_stands_before_it(line: str) -> None:
    clean = redactor(Private())(line)
    assert "hunter2" not in clean
    assert "dXNlcjpwYXNz" not in clean


def test_a_secret_that_is_known_is_taken_out_whatever_it_looks_like() -> None:
    clean = redactor(Private(secrets=["correct horse", "correct horse battery"]))
    assert clean("correct horse battery staple, correct horse") == f"{HIDDEN} staple, {HIDDEN}"


def test_variables_that_name_secrets_are_known_and_others_are_not() -> None:
    env = {"MY_API_KEY": "abcdefgh", "X_TOKEN": "12345678", "DB_PASSWORD": "letmein", "A_KEY": "yes"}
    assert set(secrets_of({**env, "XDG_SESSION_TYPE": "wayland", "KEYBOARD": "querty"})) == {
        "abcdefgh",
        "12345678",
        "letmein",
    }


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/ada/.cache/x.log", "~/.cache/x.log"),
        ("/Users/ada/Library", "~/Library"),
        ("C:\\Users\\ada\\AppData", "~\\AppData"),
        ("C:\\\\Users\\\\ada\\\\AppData", "~\\\\AppData"),
        ("file:///srv/people/ada%20l/models", "file://~/models"),
        ("/srv/people/ada l/models", "~/models"),
        ("/home/somebody-else/models", "~/models"),
        ("from ada@example.org", "from [mail address]"),
        ("user ada on engelbart.lan", "user [user] on [computer]"),
        ("ADA at Engelbart", "[user] at [computer]"),
        ("adaptive, canada, engelbarts", "adaptive, canada, engelbarts"),
        ("root runs it", "root runs it"),
    ],
)
def test_homes_and_names_are_taken_out_and_nothing_else(text: str, clean: str) -> None:
    private = Private(
        homes=["/srv/people/ada l"], users=["ada", "root"], computers=["engelbart.lan", "engelbart"]
    )
    assert redactor(private)(text) == clean


@pytest.mark.parametrize(
    "line",
    [
        'request: {"messages":[{"role":"user","content":"my secret diary"}]}',
        "slot update: prompt: 'my secret diary'",
        "prompt = my secret diary",
        "Content: my secret diary",
    ],
)
def test_what_was_written_is_left_out_with_its_line(line: str) -> None:
    clean = redactor(Private())(f"one\n{line}\ntwo")
    assert "diary" not in clean
    assert clean.splitlines()[0] == "one"
    assert clean.splitlines()[-1] == "two"


@pytest.mark.parametrize(
    "line",
    [
        "prompt eval time =      12.50 ms /    24 tokens (    0.52 ms per token,  1920.00 tokens per second)",
        "llama_model_loader: loaded meta data with 33 key-value pairs and 291 tensors",
        "listening on http://127.0.0.1:41234",
        "n_prompt_tokens = 24, n_ctx = 8192",
        "~/.local/share/whisper-desktop/models/Qwen3.5-4B-Q4_K_M.gguf",
        "loaded /usr/lib/python3/site-packages/some/more/folders/until/it/is/long",
        "the tokenizer has 151,936 tokens",
    ],
)
def test_what_helps_stays(line: str) -> None:
    assert redactor(Private())(line) == line


def test_the_long_name_of_a_model_that_is_known_stays() -> None:
    name = "Llama-3-Some-Very-Long-Model-Name-With-Many-Words-Instruct"
    assert redactor(Private())(name) == HIDDEN
    knows = redactor(Private(known=[f"maker/{name}:latest"]))
    assert knows(name) == name
    assert knows(f"maker/{name}") == f"maker/{name}"
