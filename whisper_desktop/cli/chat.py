"""`chat [PROMPT]`: one answer, or a conversation, streamed as it comes, with its provenance below."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import click

from whisper_desktop.chat import Session, attempt_line, provenance_line
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import LoopThread, json_option, make_app, run
from whisper_desktop.control import AskRequest, Front
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import (
    AnswerFinished,
    AttemptFailed,
    Completion,
    Message,
    Reach,
    StreamEvent,
    TextDelta,
)


@dataclass(frozen=True, slots=True)
class ChatChoices:
    """What the command line says about a conversation; None means what the settings say."""

    guide: bool = False
    backend: str | None = None
    model: str | None = None
    reach: Reach | None = None


GUIDE_NOTE = "Guide: a tiny demo model inside this app. It only knows this app."
_LONGEST_QUESTION = 1_000_000  # characters read from a pipe


@click.command()
@click.argument("prompt", nargs=-1)
@click.option("--guide", is_flag=True, help="Ask the guide: a tiny demo model that only knows this app.")
@click.option(
    "--backend", metavar="ID", help="Use only this backend: lm_studio, ollama, builtin, openrouter…"
)
@click.option("--model", metavar="NAME", help="Use this model of that backend.")
@click.option(
    "--reach",
    type=click.Choice([reach.value for reach in Reach]),
    help="How far the prompt may travel. Without it: what the settings say (this_machine by default).",
)
@json_option
def chat(
    prompt: tuple[str, ...],
    guide: bool,
    backend: str | None,
    model: str | None,
    reach: str | None,
    as_json: bool,
) -> None:
    """Ask PROMPT and print the answer. Without PROMPT: a conversation, or the question from a pipe."""
    question = " ".join(prompt).strip() or piped_question()
    if not question and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("There is no question. Write one after `chat`, or pipe one in.")
    choices = ChatChoices(guide, backend, model, Reach(reach) if reach else None)
    if not question:
        converse(choices)
        return
    completion = run(ask_once(question, choices, show=not as_json), as_json=as_json)
    if as_json:
        output.emit_json(shapes.completion_shape(completion))


def piped_question() -> str:
    """The question on standard input, where that is not a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    return sys.stdin.read(_LONGEST_QUESTION).strip()


def _session(front: Front, choices: ChatChoices) -> Session:
    """A conversation whose answers come from whoever is the owner at that moment."""

    async def ask(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        core = await front.core()
        request = AskRequest(
            tuple(messages),
            guide=session.guide,
            backend=session.backend,
            model=session.model,
            reach=choices.reach,
        )
        async with aclosing(core.ask(request)) as events:
            async for event in events:
                yield event

    return Session(
        ask,
        guide=choices.guide,
        backend=choices.backend,
        model=choices.model,
        history_turns=1 if choices.guide else None,
    )


async def ask_once(question: str, choices: ChatChoices, *, show: bool) -> Completion:
    """One question; with `show`, the answer is printed as it comes."""
    async with Front(make_app) as front:
        return await _answer(_session(front, choices), question, show=show)


async def _answer(session: Session, question: str, *, show: bool) -> Completion:
    completion: Completion | None = None
    started = False
    try:
        async with aclosing(session.send(question)) as events:
            async for event in events:
                if isinstance(event, AnswerFinished):
                    completion = event.completion
                elif isinstance(event, AttemptFailed) and show:
                    click.echo(attempt_line(event.attempt), err=True)
                elif isinstance(event, TextDelta) and show:
                    started = True
                    click.echo(event.text, nl=False)
    finally:
        if started:
            click.echo()
    if completion is None:
        raise RuntimeError("A stream ended without an answer and without an error.")
    if show:
        click.echo(click.style(f"— {provenance_line(completion.provenance)}", dim=True))
    return completion


def converse(choices: ChatChoices) -> None:
    """Questions from the terminal until Ctrl-D; Ctrl-C stops an answer, or at the prompt, ends.

    The loop runs in a thread of its own, so that a person who thinks does not stop the engine and the
    control socket, and Ctrl-C reaches this thread.
    """
    output.say(GUIDE_NOTE if choices.guide else "Ask anything. Ctrl-C stops an answer, Ctrl-D ends.")
    with LoopThread() as loop:
        front = Front(make_app)
        session = _session(front, choices)
        try:
            while (question := _read_question()) is not None:
                if question:
                    _answer_or_say_why(loop, session, question)
        finally:
            loop.run(front.close())


def _read_question() -> str | None:
    """A line from the person, None at the end of input."""
    try:
        return input("> ").strip()
    except EOFError:
        click.echo()
        return None


def _answer_or_say_why(loop: LoopThread, session: Session, question: str) -> None:
    """One turn. An error is told, Ctrl-C keeps what came, and the conversation goes on."""
    try:
        loop.run(_answer(session, question, show=True))
    except WhisperError as error:
        output.say_error(error)
    except KeyboardInterrupt:
        output.say("Stopped.")
