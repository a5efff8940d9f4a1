"""The sentence about each server."""

from whisper_desktop.discovery.words import about_server, about_stranger
from whisper_desktop.values import ModelInfo, ServerStatus

ORIGIN = "http://127.0.0.1:1234"


def available(*models: ModelInfo) -> str:
    return about_server("Ollama", ServerStatus.AVAILABLE, models, ORIGIN)


def test_what_is_loaded_is_named() -> None:
    assert available(ModelInfo("a", loaded=True)) == "Ollama is running with 1 model; a loaded."
    assert available(
        ModelInfo("a", loaded=True), ModelInfo("b", loaded=True), ModelInfo("c", loaded=False)
    ) == ("Ollama is running with 3 models; a and 1 more loaded.")


def test_what_the_first_message_does_is_said() -> None:
    assert available(ModelInfo("a", loaded=False)) == (
        "Ollama is running with 1 model; none is loaded yet, the first message loads one."
    )
    assert available(ModelInfo("a")) == "Ollama is running with 1 model."


def test_models_on_other_computers_are_counted() -> None:
    assert available(ModelInfo("a", loaded=True), ModelInfo("b", remote=True)) == (
        "Ollama is running with 2 models; a loaded. 1 of them runs on another computer."
    )


def test_what_to_do_next_is_said() -> None:
    assert "whisper-desktop keys set http://127.0.0.1:1234" in about_server(
        "Ollama", ServerStatus.NEEDS_KEY, None, ORIGIN
    )
    assert "Add one there" in about_server("Ollama", ServerStatus.NO_MODELS, (), ORIGIN)
    assert "Look again" in about_server("Ollama", ServerStatus.AVAILABLE, None, ORIGIN)
    assert about_server("Ollama", ServerStatus.NO_MODELS, (), ORIGIN, "So it is.") == "So it is."


def test_a_stranger_is_told_with_who_is_usually_there() -> None:
    assert about_stranger(1234, ["LM Studio"], "") == (
        "Port 1234, where LM Studio usually listens, is taken by another program."
    )
    assert about_stranger(8080, ["a", "b", "a", "c"], "does not speak HTTP") == (
        "Port 8080, where a, b or c usually listens, is taken by another program. It does not speak HTTP."
    )
    assert about_stranger(7, [], "") == "Port 7 is taken by another program."
