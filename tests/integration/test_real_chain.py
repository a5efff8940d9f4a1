"""The chain with a real engine at its end: LM Studio dead, Ollama dying in the middle of its answer.

With `-s` it prints what a person would read.
"""

from contextlib import aclosing

from tests.integration.worlds import world
from tests.servers.fixtures import ServerFactory
from whisper_desktop.chat.provenance import attempt_line, provenance_line
from whisper_desktop.settings.paths import resource
from whisper_desktop.values import (
    AnswerFinished,
    AnswerRestarted,
    AnswerStarted,
    AttemptFailed,
    ErrorKind,
    Message,
    Role,
    StreamEvent,
)

QUESTION = [Message(Role.USER, "What can you do?")]


def told(event: StreamEvent) -> str:
    """What a person reads of an event."""
    match event:
        case AttemptFailed(attempt):
            return f"  {attempt_line(attempt)}"
        case AnswerStarted(_, name, model, reach):
            return f"  {name} begins ({model}, {reach.words})"
        case AnswerRestarted(_, partial):
            return f"  kept as it was, and begun anew: “{partial}”"
        case AnswerFinished(completion):
            return f"  “{completion.text}”\n  — {provenance_line(completion.provenance)}"
        case _:
            return ""


async def test_a_dead_server_and_a_dying_one_lead_to_the_built_in_engine(servers: ServerFactory) -> None:
    ollama = servers("ollama", "--answer", "I will tell you all about", "--fault", "die_mid_stream:4")
    chain, model = ("lm_studio", "ollama", "builtin"), str(resource("guide/guide.gguf"))
    async with (
        world(ollama=ollama.url, llm__fallback_chain=chain, llm__gguf_model_path=model) as app,
        aclosing(app.stream(QUESTION)) as events,
    ):
        seen = [event async for event in events]
    print("\n" + "\n".join(filter(None, map(told, seen))))
    (restarted,) = [event for event in seen if isinstance(event, AnswerRestarted)]
    assert restarted.partial_text == "I will tell you"
    assert isinstance(seen[-1], AnswerFinished)
    completion = seen[-1].completion
    assert completion.text.startswith("I answer questions about Whisper Desktop")
    provenance = completion.provenance
    assert provenance.backend == "builtin"
    assert [(attempt.backend, attempt.kind) for attempt in provenance.attempts] == [
        ("lm_studio", ErrorKind.CONNECT_REFUSED),
        ("ollama", ErrorKind.STREAM_CUT),
        ("builtin", None),
    ]
    assert provenance.ttft_seconds is not None
    assert provenance.ttft_seconds > provenance.attempts[1].seconds, "that of the answer that is shown"
    shown = ""
    for event in seen:
        shown = "" if isinstance(event, AnswerRestarted) else shown + event.text
    assert shown == completion.text
