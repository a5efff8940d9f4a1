"""Where Ollama and LM Studio were told to listen."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisper_desktop.discovery.configured import lm_studio_port, ollama_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        # The forms of envconfig/config_test.go in https://github.com/ollama/ollama, made connectable.
        ("", "http://127.0.0.1:11434"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.1:1234", "http://127.0.0.1:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("1.2.3.4:56789", "http://1.2.3.4:56789"),
        (":8080", "http://127.0.0.1:8080"),
        (":", "http://127.0.0.1:11434"),
        ("::", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("[0001:002:003:0004::1]", "http://[0001:002:003:0004::1]:11434"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        ("http://example.com", "http://example.com:80"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://example.com:4321", "https://example.com:4321"),
        ("http://example.com:8080/prefix", "http://example.com:8080/prefix"),
        ("https://example.com/ollama/", "https://example.com:443/ollama"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        ("ollama.com", "https://ollama.com:443"),
        ("1.2.3.4:0", "http://1.2.3.4:11434"),
        ("1.2.3.4:66000", "http://1.2.3.4:11434"),
        ("1.2.3.4:-1", "http://1.2.3.4:11434"),
        ("1.2.3.4:x", "http://1.2.3.4:11434"),
        ("http://1.2.3.4:99999", "http://1.2.3.4:80"),
        ("  '127.0.0.1:5000' ", "http://127.0.0.1:5000"),
        ('"0.0.0.0"', "http://127.0.0.1:11434"),
    ],
)
def test_ollama_host_in_all_its_forms(host: str, url: str) -> None:
    assert ollama_url(host) == url


@settings(deadline=None)
@given(st.text(max_size=80))
def test_ollama_host_may_be_any_text(host: str) -> None:
    assert "://" in ollama_url(host)


def config(folder: Path, content: str) -> None:
    (folder / ".internal").mkdir(parents=True)
    (folder / ".internal" / "http-server-config.json").write_text(content, "utf-8")


def test_lm_studios_port_is_the_one_it_used_last(tmp_path: Path) -> None:
    config(tmp_path / ".lmstudio", '{"port": 1250, "networkInterface": "127.0.0.1"}')
    assert lm_studio_port(tmp_path) == 1250


def test_lm_studios_old_folder_and_its_pointer_come_first(tmp_path: Path) -> None:
    config(tmp_path / ".lmstudio", '{"port": 1}')
    config(tmp_path / ".cache" / "lm-studio", '{"port": 2}')
    assert lm_studio_port(tmp_path) == 2
    config(tmp_path / "elsewhere", '{"port": 3}')
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'elsewhere'}\n", "utf-8")
    assert lm_studio_port(tmp_path) == 3


def test_a_pointer_that_names_nothing_is_none(tmp_path: Path) -> None:
    config(tmp_path / ".lmstudio", '{"port": 1}')
    (tmp_path / ".lmstudio-home-pointer").write_text("\n", "utf-8")
    assert lm_studio_port(tmp_path) == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"port": "1234"}', '{"port": 70000}', '{"port": true}', "[" * 9999]
)
def test_a_broken_file_of_lm_studio_is_no_port(tmp_path: Path, content: str) -> None:
    config(tmp_path / ".lmstudio", content)
    assert lm_studio_port(tmp_path) is None


def test_no_lm_studio_is_no_port(tmp_path: Path) -> None:
    assert lm_studio_port(tmp_path) is None
    (tmp_path / ".lmstudio-home-pointer").write_bytes(b"\x00\xff")
    assert lm_studio_port(tmp_path) is None
