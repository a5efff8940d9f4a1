"""What starts where there is no display: look around, recommend, set up, and talk, all in the terminal."""

import select
import sys

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.chat import GUIDE_NOTE, ChatChoices, answer, converse, open_session, piped_question
from whisper_desktop.cli.looks import print_machine, print_recommendation, print_servers
from whisper_desktop.cli.running import LoopThread, fail, make_front, tell_problems, with_app
from whisper_desktop.cli.set_up import set_up
from whisper_desktop.control import Front, LocalCore
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import tr
from whisper_desktop.values import Deadlines, ResourceInfo, ServerInfo, SetupRecommendation

_FIRST_QUESTION = "What can you do?"
_CAN_ANSWER = ("ready", "asleep", "loading", "cloud")  # states of `BackendChoice`


def start_without_display() -> None:
    """Say what was found and what is recommended; the first time set that up with the person; then answer."""
    tell_problems()
    output.say(tr("There is no display here, so this is the terminal."))
    output.say()
    with LoopThread() as loop:
        front = make_front()
        try:
            with output.progress(tr("Looking at this computer and for servers…")):
                resources, servers, advice, anyone = loop.run(_look(front))
            print_machine(resources)
            output.say()
            print_servers(servers)
            output.say()
            print_recommendation(advice)
            output.say()
            app = loop.run(_own_app(front))
            if app is not None and app.state().first_run and sys.stdin.isatty() and sys.stdout.isatty():
                set_up(loop, app, advice)
                anyone = _somebody_answers(app)
            _talk(loop, front, ChatChoices(guide=not anyone))
        except WhisperError as error:
            fail(error, as_json=False)
        finally:
            loop.run(front.close())


async def _own_app(front: Front) -> App | None:
    """The app, where this program is the owner: only that one writes settings."""
    core = await front.core()
    return core.app if isinstance(core, LocalCore) else None


_Found = tuple[ResourceInfo, tuple[ServerInfo, ...], SetupRecommendation, bool]


async def _look(front: Front) -> _Found:
    # The owner's own eyes where this is the owner: the first question then need not look again.
    own = await _own_app(front)
    return await _seen(own) if own is not None else await with_app(_seen)


async def _seen(app: App) -> _Found:
    advice = await app.recommend()
    return await app.resources(), app.servers, advice, _somebody_answers(app)


def _somebody_answers(app: App) -> bool:
    """Whether to ask a real model: one that was found, or what the person set, to say why it fails.

    One that nobody can place is asked only where the person can be asked before.
    """
    can_consent = sys.stdin.isatty() and sys.stdout.isatty()
    llm = app.loaded.settings.llm
    if llm.stub or llm.backend or llm.base_url or llm.fallback_chain:
        return True
    return any(
        choice.state in _CAN_ANSWER
        and (choice.models or choice.state == "cloud")
        and (can_consent if choice.reach is None else llm.reach.allows(choice.reach))
        for choice in app.backend_choices()
    )


def _talk(loop: LoopThread, front: Front, choices: ChatChoices) -> None:
    if sys.stdin.isatty():
        converse(loop, front, choices)
        return
    question = (piped_question() if _something_is_piped() else "") or _FIRST_QUESTION
    if choices.guide:
        output.say(GUIDE_NOTE)
    output.say(f"> {question}")
    loop.run(answer(open_session(front, choices), question, show=True))
    loop.run(front.linger())


def _something_is_piped() -> bool:
    """Whether input comes, or has ended, soon: a pipe that somebody merely left open must not stop us."""
    if sys.platform == "win32":  # there, only sockets can be waited for
        return True
    return bool(select.select([sys.stdin], [], [], Deadlines().control_connect)[0])
