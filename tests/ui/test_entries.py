"""The tray menu as values: what it says for each state."""

from dataclasses import replace

import pytest

from whisper_desktop.app import AppState, BackendChoice
from whisper_desktop.ui.tray.entries import SEPARATOR, Entry, backend_entries, menu_entries
from whisper_desktop.ui.tray.glance import Glance, OwnModel, Recent, shown
from whisper_desktop.values import Reach

READY = AppState("ready", "Ready: qwen3.5:4b on Ollama", "ollama", "qwen3.5:4b", False)
CHOICES = (
    BackendChoice(None, "Automatic", "Ollama → OpenRouter", "ready", None, True),
    BackendChoice(
        "ollama",
        "Ollama",
        "2 models · ready",
        "ready",
        Reach.THIS_MACHINE,
        False,
        ("qwen3.5:4b", "llama3:8b"),
        ("qwen3.5:4b",),
    ),
    BackendChoice("vllm", "vLLM", "one model", "ready", Reach.MY_NETWORK, False),
    BackendChoice("builtin", "Built-in", "asleep", "asleep", Reach.THIS_MACHINE, False, ("SmolLM2 135M",)),
    BackendChoice("openrouter", "OpenRouter", "cloud · asks first", "cloud", Reach.CLOUD, False),
)
GLANCE = Glance(READY, CHOICES, shortcut="Ctrl+Alt+Space")
ENTRIES = menu_entries(GLANCE)


def entry(glance: Glance, text: str) -> Entry:
    """The entry of the menu with this text."""
    return next(each for each in menu_entries(glance) if each.text == text)


def chosen(backend: str) -> tuple[BackendChoice, ...]:
    """The choices after somebody chose this backend."""
    return tuple(replace(choice, chosen=choice.id == backend) for choice in CHOICES)


def test_the_menu_has_everything_in_its_order() -> None:
    texts = ["-" if each == SEPARATOR else each.text for each in ENTRIES]
    assert texts == [
        "Ready: qwen3.5:4b on Ollama",
        "-",
        "New chat",
        "Quick ask",
        "Backend",
        "Model",
        "Free memory now",
        "This computer only",
        "-",
        "Recent chats",
        "Models…",
        "Setup…",
        "Settings…",
        "Logs…",
        "-",
        "Quit",
    ]


def test_nothing_in_the_menu_moves_when_there_is_less_to_show() -> None:
    bare = menu_entries(Glance(replace(READY, headline="Starting…", backend=None, model=None)))
    assert [each.text for each in bare][1:] == [each.text for each in ENTRIES][1:]


def test_the_status_line_does_nothing() -> None:
    assert ENTRIES[0].action is None


def test_the_keys_of_quick_ask_stand_beside_it() -> None:
    assert entry(GLANCE, "Quick ask").detail == "Ctrl+Alt+Space"
    assert entry(replace(GLANCE, shortcut=""), "Quick ask").detail == ""


def test_memory_can_be_freed_where_there_is_some_and_its_place_is_always_there() -> None:
    assert entry(GLANCE, "Free memory now") == Entry("Free memory now")
    awake = entry(replace(GLANCE, state=replace(READY, memory="3.2 GB")), "Free memory now")
    assert (awake.action, awake.detail) == ("sleep", "3.2 GB in use")


def test_a_download_that_runs_is_told_beside_models() -> None:
    assert entry(replace(GLANCE, downloads="downloading 43 %"), "Models…").detail == "downloading 43 %"
    assert entry(GLANCE, "Models…").detail == ""


def test_staying_on_this_computer_is_a_switch() -> None:
    assert entry(GLANCE, "This computer only") == Entry(
        "This computer only", "local_only", checked=True, alone=True
    )
    assert entry(replace(GLANCE, local_only=False), "This computer only").checked is False


def test_automatic_comes_first_and_the_choice_is_marked() -> None:
    entries = backend_entries(CHOICES)
    assert [(each.text, each.value, each.checked) for each in entries] == [
        ("Automatic", None, True),
        ("Ollama", "ollama", False),
        ("vLLM", "vllm", False),
        ("Built-in", "builtin", False),
        ("OpenRouter", "openrouter", False),
    ]


def test_what_is_farther_away_says_so_once() -> None:
    assert [each.detail for each in backend_entries(CHOICES)] == [
        "Ollama → OpenRouter",
        "2 models · ready",
        "my network · one model",
        "asleep",
        "cloud · asks first",
    ]


def test_a_program_that_is_here_and_does_not_run_can_be_started() -> None:
    assert all(each.action == "backend" for each in entry(GLANCE, "Backend").children)
    backend = entry(replace(GLANCE, startable=(("lm_studio", "LM Studio"),)), "Backend")
    assert backend.children[-2:] == (SEPARATOR, Entry("Start LM Studio", "start", "lm_studio"))


def test_the_models_are_those_of_who_answers_next_and_say_which_are_loaded() -> None:
    assert entry(GLANCE, "Model").children == (
        Entry("qwen3.5:4b", "model", "ollama\nqwen3.5:4b", "loaded", checked=True),
        Entry("llama3:8b", "model", "ollama\nllama3:8b", "", checked=False),
    )


def test_a_model_that_was_chosen_is_marked_before_it_has_answered() -> None:
    models = entry(replace(GLANCE, model="llama3:8b"), "Model").children
    assert [each.text for each in models if each.checked] == ["llama3:8b"]


def test_the_models_of_the_built_in_engine_are_the_files_of_this_computer() -> None:
    files = (OwnModel("SmolLM2 135M", True), OwnModel("Qwen3.5 4B", False))
    models = entry(replace(GLANCE, choices=chosen("builtin"), own_models=files), "Model").children
    assert [(each.text, each.value, each.checked) for each in models] == [
        ("SmolLM2 135M", "builtin\nSmolLM2 135M", True),
        ("Qwen3.5 4B", "builtin\nQwen3.5 4B", False),
    ]


@pytest.mark.parametrize(
    ("choices", "backend", "says"),
    [((), None, "No model found yet"), (chosen("vllm"), "vllm", "vLLM lists no models")],
)
def test_where_there_are_no_models_one_line_says_so(
    choices: tuple[BackendChoice, ...], backend: str | None, says: str
) -> None:
    glance = Glance(replace(READY, backend=backend, model=None), choices)
    assert entry(glance, "Model").children == (Entry(says),)


def test_a_server_with_hundreds_of_models_does_not_fill_the_screen() -> None:
    many = replace(CHOICES[1], models=tuple(f"model-{number}" for number in range(300)))
    models = entry(replace(GLANCE, choices=(CHOICES[0], many)), "Model").children
    assert len(models) == 41
    assert models[-1] == Entry("All models…", "models")


def test_recent_chats_open_by_their_title_in_one_short_line() -> None:
    assert entry(GLANCE, "Recent chats").children == (Entry("No chats yet"),)
    recent = (Recent("a", "Trip to\nLisbon"), Recent("b", "x" * 90), Recent("c", ""))
    lines = entry(replace(GLANCE, recent=recent), "Recent chats").children
    assert [(each.action, each.value) for each in lines] == [("open_chat", name) for name in "abc"]
    assert lines[0].text == "Trip to Lisbon"
    assert len(lines[1].text) == 48
    assert lines[2].text == "New chat"


def test_the_icon_shows_a_download_only_while_all_else_is_quiet() -> None:
    loading = replace(GLANCE, downloads="downloading 43 %", percent=43)
    assert (shown(loading, "system").activity, shown(loading, "system").percent) == ("downloading", 43)
    for activity in ("working", "needs_attention", "starting"):
        busy = replace(loading, state=replace(READY, activity=activity))
        assert shown(busy, "system").activity == activity


def test_the_tooltip_says_state_backend_model_download_and_memory() -> None:
    glance = replace(GLANCE, state=replace(READY, memory="3.2 GB"), downloads="downloading 43 %")
    assert shown(glance, "system").tooltip.splitlines() == [
        "Whisper Desktop",
        "Ready: qwen3.5:4b on Ollama",
        "downloading 43 %",
        "3.2 GB of memory in use",
    ]
