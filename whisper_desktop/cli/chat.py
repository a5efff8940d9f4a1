"""`chat [PROMPT]`: one answer, or a conversation, streamed as it comes, with its provenance below."""

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import click

from whisper_desktop.app.places import InQuestion, server_in_question
from whisper_desktop.chat import WAITING, Session, SetAside, provenance_line
from whisper_desktop.cli import output, shapes
from whisper_desktop.cli.running import (
    Failed,
    LoopThread,
    json_option,
    make_front,
    run,
    tell_problems,
)
from whisper_desktop.cli.showing import AnswerOnTerminal
from whisper_desktop.control import AskRequest, Front
from whisper_desktop.control.changes import allow_server
from whisper_desktop.errors import WhisperError
from whisper_desktop.values import (
    IDENTITIES,
    AnswerFinished,
    Completion,
    Message,
    Reach,
    StreamEvent,
    canonical_id,
)

GUIDE_NOTE = "Guide: a tiny demo model inside this app. It only knows this app."
_LONGEST_QUESTION = 4_000_000  # bytes read from a pipe: more than any model's context window holds


@dataclass(frozen=True, slots=True)
class ChatChoices:
    """What the command line says about a conversation; None means what the settings say."""

    guide: bool = False
    backend: str | None = None
    model: str | None = None
    reach: Reach | None = None


def _backend_id(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """The canonical id of the backend that was named."""
    if name is None:
        return None
    try:
        backend = canonical_id(name)
    except KeyError:
        backend = "unknown"
    if backend == "guide":
        raise click.UsageError("The guide is not a backend. Ask it with --guide.")
    if backend == "unknown":
        known = ", ".join(each for each in IDENTITIES if each not in ("unknown", "guide"))
        raise click.UsageError(f"There is no backend called “{name}”. Known are: {known}.")
    return backend


@click.command()
@click.argument("prompt", nargs=-1)
@click.option("--guide", is_flag=True, help="Ask the guide: a tiny demo model that only knows this app.")
@click.option(
    "--backend", callback=_backend_id, metavar="ID", help="Use only this one: lm_studio, ollama, builtin, …"
)
@click.option("--model", metavar="NAME", help="Use this model of that backend.")
@click.option(
    "--reach",
    type=click.Choice([reach.value for reach in Reach]),
    help="How far your words may travel. Without it, what the settings say: this_machine, unless changed.",
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
    """Ask PROMPT and print the answer, or talk.

    Without PROMPT: a conversation, or the question from a pipe. The last line says who answered and where.
    """
    if guide and (backend or model):
        raise click.UsageError(
            "The guide is a backend of its own: leave out --backend and --model, or --guide."
        )
    if prompt and not " ".join(prompt).strip():
        raise click.UsageError("The question is empty. Write one after `chat`.")
    question = _as_text(" ".join(prompt)) or piped_question()
    choices = ChatChoices(guide, backend, model, Reach(reach) if reach else None)
    if question:
        if as_json:
            work = _ask_once(question, choices, show=False)
            output.emit_json(shapes.completion_shape(*run(work, as_json=True)))
        else:
            _ask_until_answered(question, choices)
    elif as_json or not sys.stdin.isatty():
        raise click.UsageError("There is no question. Write one after `chat`, or pipe one in.")
    else:
        tell_problems()
        with LoopThread() as loop:
            front = make_front()
            try:
                converse(loop, front, choices)
            finally:
                loop.run(front.close())


def _as_text(argument: str) -> str:
    """A word of the command line as text. Bytes that are none arrive in it as lone surrogates."""
    if any("\ud800" <= letter <= "\udfff" for letter in argument):
        raise click.UsageError("The question is not text: it has bytes in it that are no UTF-8.")
    return argument.strip()


def piped_question() -> str:
    """The question on standard input, where that is not a terminal; "" where there is none."""
    if sys.stdin.isatty():
        return ""
    data = sys.stdin.buffer.read(_LONGEST_QUESTION + 1)
    if len(data) > _LONGEST_QUESTION:
        raise click.UsageError(
            f"What was piped in is too long for a question: {_LONGEST_QUESTION / 1e6:.0f} MB are the most."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError("What was piped in is not text: it is no UTF-8.") from None
    if "\0" in text:
        raise click.UsageError("What was piped in is not text: it has zero bytes in it.")
    return text.strip()


def open_session(front: Front, choices: ChatChoices) -> Session:
    """A conversation whose answers come from whoever is the owner at that moment."""

    async def ask(session: Session, messages: Sequence[Message]) -> AsyncGenerator[StreamEvent, None]:
        request = AskRequest(
            tuple(messages),
            guide=session.guide,
            backend=session.backend,
            model=session.model,
            reach=choices.reach,
        )
        async with aclosing(front.ask(request)) as events:
            async for event in events:
                yield event

    return Session(
        ask,
        guide=choices.guide,
        backend=choices.backend,
        model=choices.model,
        history_turns=1 if choices.guide else None,
    )


async def _ask_once(
    question: str, choices: ChatChoices, *, show: bool
) -> tuple[Completion, tuple[SetAside, ...]]:
    async with make_front() as front:
        session = open_session(front, choices)
        completion = await answer(session, question, show=show)
        return completion, session.turns[-1].set_aside


def _ask_until_answered(question: str, choices: ChatChoices) -> None:
    """One question, asked again after each server that the person allows for it."""
    while True:
        try:
            run(_ask_once(question, choices, show=True), as_json=False)
            return
        except Failed as failed:
            server = _allowed_by_person(failed.__cause__)
            if server is None:
                raise
        # Between two loops, so that a person who thinks keeps none waiting.
        run(allow_server(server.place), as_json=False, tell=False)


async def answer(session: Session, question: str, *, show: bool) -> Completion:
    """The answer to one question; with `show`, it is printed as it comes, and who gave it below."""
    completion: Completion | None = None
    with output.progress(WAITING) as waiting:
        terminal = AnswerOnTerminal(waiting)
        try:
            async with aclosing(session.send(question)) as events:
                async for event in events:
                    if isinstance(event, AnswerFinished):
                        completion = event.completion
                    if show:
                        terminal.show(event)
        finally:
            terminal.end()
    if completion is None:
        raise RuntimeError("A stream ended without an answer and without an error.")
    if show:
        if completion.finish_reason == "length":
            output.note("The answer stopped here because it reached the most that was allowed.")
        line = output.clean(provenance_line(completion.provenance))
        click.echo(click.style(f"— {line}", dim=True))
    return completion


def converse(loop: LoopThread, front: Front, choices: ChatChoices) -> None:
    """Questions from the terminal until Ctrl-D; Ctrl-C stops an answer, or at the prompt, ends.

    The loop runs in a thread of its own, so that a person who thinks does not stop the engine and the
    control socket, and Ctrl-C reaches this thread.
    """
    with suppress(ImportError):
        import readline  # noqa: F401 - gives `input` line editing and history, where the system has it
    if choices.guide:
        output.say(GUIDE_NOTE)
    output.say("Ask anything. Ctrl-C stops an answer, Ctrl-D ends.")
    session = open_session(front, choices)
    while (question := _read_question()) is not None:
        if question:
            _answer_or_say_why(loop, session, question)


def _read_question() -> str | None:
    """A line from the person, None at the end of input."""
    try:
        return _as_text(input("> "))
    except EOFError:
        click.echo()
        return None
    except KeyboardInterrupt:
        click.echo()
        if _typed():
            return ""  # as in a shell: Ctrl-C takes the line back
        raise
    except click.UsageError as error:
        output.note(error.format_message())
        return ""


def _typed() -> str:
    """What stands on the line that Ctrl-C has interrupted."""
    readline = sys.modules.get("readline")
    return readline.get_line_buffer() if readline is not None else ""


def _answer_or_say_why(loop: LoopThread, session: Session, question: str) -> None:
    """One turn. An error is told, Ctrl-C keeps what came, and the conversation goes on."""
    try:
        while (server := _asked(loop, session, question)) is not None:
            loop.run(allow_server(server.place))
    except WhisperError as error:
        output.say_error(error)
    except KeyboardInterrupt:
        output.note("Stopped. Ask on, or press Ctrl-D to end.")


def _asked(loop: LoopThread, session: Session, question: str) -> InQuestion | None:
    """Ask. A server to ask again with, where one was left out that the person has allowed just now."""
    try:
        loop.run(answer(session, question, show=True))
    except WhisperError as error:
        output.say_error(error)
        return _allowed_by_person(error)
    return None


def _allowed_by_person(error: BaseException | None) -> InQuestion | None:
    """The server that an error asks to allow, where somebody is there to be asked, and says yes."""
    server = server_in_question(error) if isinstance(error, WhisperError) else None
    if server is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    words = f"{server.words} Allow it, and remember that for this address? [y/N] "
    try:
        said = input(output.clean(words)).strip().lower()
    except EOFError:
        click.echo()
        return None
    return server if said in ("y", "yes") else None
