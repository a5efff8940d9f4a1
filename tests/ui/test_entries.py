"""The tray menu as values: what it says for each state."""

from dataclasses import replace

from whisper_desktop.app import AppState, BackendChoice
from whisper_desktop.ui.tray.entries import SEPARATOR, Entry, backend_entries, menu_entries
from whisper_desktop.values import Reach

READY = AppState("ready", "Ready: qwen3.5:4b on Ollama", "ollama", "qwen3.5:4b", False)
CHOICES = (
    BackendChoice(None, "Automatic", "Ollama → OpenRouter", "ready", None, True),
    BackendChoice(
        "ollama", "Ollama", "2 models · ready", "ready", Reach.THIS_MACHINE, False, ("qwen3.5:4b",)
    ),
    BackendChoice("vllm", "vLLM", "one model", "ready", Reach.MY_NETWORK, False),
    BackendChoice("openrouter", "OpenRouter", "cloud · asks first", "cloud", Reach.CLOUD, False),
)


def test_the_menu_has_everything_in_its_order() -> None:
    texts = [entry.text for entry in menu_entries(READY, CHOICES) if entry != SEPARATOR]
    assert texts == [
        "Ready: qwen3.5:4b on Ollama",
        "New chat",
        "Backend",
        "Free memory now",
        "Models…",
        "Setup…",
        "Settings…",
        "Logs…",
        "Quit",
    ]


def test_the_status_line_does_nothing() -> None:
    assert menu_entries(READY, CHOICES)[0].action is None


def test_memory_can_be_freed_where_there_is_some_and_its_place_is_always_there() -> None:
    def free(memory: str) -> Entry:
        entries = menu_entries(replace(READY, memory=memory), CHOICES)
        return next(entry for entry in entries if entry.text == "Free memory now")

    assert (free("").action, free("").detail) == (None, "")
    assert (free("3.2 GB").action, free("3.2 GB").detail) == ("sleep", "3.2 GB in use")


def test_a_download_that_runs_is_told_beside_models() -> None:
    def models(downloads: str) -> Entry:
        return next(entry for entry in menu_entries(READY, CHOICES, downloads) if entry.action == "models")

    assert models("downloading 43 %").detail == "downloading 43 %"
    assert models("").detail == ""


def test_automatic_comes_first_and_the_choice_is_marked() -> None:
    entries = backend_entries(CHOICES)
    assert [(entry.text, entry.value, entry.checked) for entry in entries] == [
        ("Automatic", None, True),
        ("Ollama", "ollama", False),
        ("vLLM", "vllm", False),
        ("OpenRouter", "openrouter", False),
    ]


def test_what_is_farther_away_says_so_once() -> None:
    details = [entry.detail for entry in backend_entries(CHOICES)]
    assert details == [
        "Ollama → OpenRouter",
        "2 models · ready",
        "my network · one model",
        "cloud · asks first",
    ]
