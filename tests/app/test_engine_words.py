"""The words for an engine: each state has some, and none leaves out what a person has to know."""

from dataclasses import replace
from pathlib import Path

import pytest

from whisper_desktop.app.choices import backend_choices, standing
from whisper_desktop.app.engine_words import in_gigabytes, state_words, status_lines
from whisper_desktop.values import EngineState, EngineStatus

READY = EngineStatus("builtin", EngineState.READY, "tiny", "http://127.0.0.1:4711", 42, "Ready.")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "not running"),
        (replace(READY, state=EngineState.STOPPED), "not running"),
        (replace(READY, state=EngineState.STARTING), "loading"),
        (replace(READY, state=EngineState.STARTING, progress=0.4249), "loading, 42 %"),
        (READY, "ready"),
        (replace(READY, state=EngineState.STOPPING), "stopping"),
        (replace(READY, state=EngineState.BACKING_OFF), "starts again in a moment"),
        (replace(READY, state=EngineState.BACKING_OFF, restart_in=0.3), "starts again in a moment"),
        (replace(READY, state=EngineState.BACKING_OFF, restart_in=3.2), "starts again in 4 s"),
        (replace(READY, state=EngineState.SLEEPING), "asleep"),
        (replace(READY, state=EngineState.FAILED), "cannot run"),
    ],
)
def test_every_state_has_its_words(status: EngineStatus | None, words: str) -> None:
    assert state_words(status) == words


def test_a_status_has_every_number_and_then_why_and_what_it_warns_of() -> None:
    status = replace(READY, memory_bytes=1_250_000_000, tokens_per_second=31.22, warning="No card is used.")
    assert status_lines(status) == (
        "The engine is ready, model tiny, 1.2 GB of memory, http://127.0.0.1:4711, process 42, "
        "31.2 tokens a second.",
        "No card is used.",
    )
    ended = replace(READY, state=EngineState.BACKING_OFF, url=None, pid=None, detail="It crashed. Log.")
    assert status_lines(ended) == ("The engine starts again in a moment, model tiny.", "It crashed. Log.")
    assert status_lines(None) == ("The engine is not running.",)


@pytest.mark.parametrize(("size", "words"), [(37_000_000, "under 0.1 GB"), (3_240_000_000, "3.2 GB")])
def test_memory_is_never_nothing(size: int, words: str) -> None:
    assert in_gigabytes(size) == words


@pytest.mark.parametrize(
    ("state", "answering", "glance"),
    [
        (None, False, ("ready", "Ready: tiny")),
        (EngineState.STARTING, True, ("working", "Loading: tiny")),
        (EngineState.BACKING_OFF, False, ("working", "Starting again: tiny")),
        (EngineState.READY, True, ("working", "Working: tiny")),
        (EngineState.SLEEPING, False, ("ready", "Ready: tiny (asleep)")),
        (EngineState.FAILED, False, ("needs_attention", "Cannot run: tiny")),
        (EngineState.FAILED, True, ("working", "Working: tiny")),
    ],
)
def test_the_glance_says_what_the_engine_in_front_is_doing(
    state: EngineState | None, answering: bool, glance: tuple[str, str]
) -> None:
    engine = replace(READY, state=state) if state is not None else None
    assert standing("tiny", engine, answering=answering) == glance


def test_the_guides_engine_is_not_taken_for_the_built_in_one() -> None:
    (choice,) = [
        each
        for each in backend_choices(
            (),
            chosen=None,
            engine=replace(READY, engine="guide", memory_bytes=60_000_000),
            builtin_model=Path("/models/tiny.gguf"),
            keyed=(),
            cloud_allowed=False,
            chain_names=(),
        )
        if each.id == "builtin"
    ]
    assert (choice.state, choice.detail) == ("asleep", "asleep")
