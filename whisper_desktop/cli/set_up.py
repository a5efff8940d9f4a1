"""The setup as a conversation in a terminal: walks `advice.flow`, as the wizard's window does.

Nothing is written before the end but a key that is kept and a model that is downloaded. 0 is "not now".
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import click

from whisper_desktop.advice import flow
from whisper_desktop.advice.flow import FlowState, Page, SetupResult
from whisper_desktop.advice.steps import links, setup_steps
from whisper_desktop.app import App
from whisper_desktop.app.setting_up import held
from whisper_desktop.app.setup import question_for
from whisper_desktop.cli import output
from whisper_desktop.cli.download_line import progress_line
from whisper_desktop.cli.keys import signed_in
from whisper_desktop.cli.running import LoopThread
from whisper_desktop.errors import WhisperError
from whisper_desktop.language import mark, tr
from whisper_desktop.values import IDENTITIES, ConnectionReport, Reach, SetupRecommendation, TextDelta

_WIDTH = 70  # characters of a line about a download
_LOOK_AGAIN = 2.0  # seconds between two looks for a server that is being installed
_REACHES = {
    Reach.THIS_MACHINE: mark("This computer only: nothing that you write leaves it"),
    Reach.MY_NETWORK: mark("My network: servers at home or at work that you name may answer as well"),
    Reach.CLOUD: mark("The cloud may be asked: services that read what you write, and some cost money"),
}


class NotNow(Exception):  # noqa: N818 - no error: somebody thought better of it
    """The person leaves the setup; the app works all the same."""


def set_up(loop: LoopThread, app: App, advice: SetupRecommendation) -> SetupResult:
    """Ask what there is to decide and do it; what was decided is written. Returns it."""
    state = flow.servers_found(flow.forward(FlowState()), app.servers, scanning=False)
    state = flow.recommended(state, advice)
    if app.key_origin("openrouter") in loop.run(app.keys()):
        state = flow.key_stored(state)
    with suppress(NotNow, click.Abort):
        while state.page is not Page.DONE:
            state = _PAGES[state.page](loop, app, state)
    result = flow.result(state)
    loop.run(app.finish_setup(result))
    if not result.skipped:
        output.say(tr("That is kept. `whisper-desktop config` and the Setup window change it."))
    output.say()
    return result


def _number(question: str, choices: Sequence[str], default: int) -> int:
    """Which of the choices, from 0; raises `NotNow`."""
    for number, words in enumerate(choices, 1):
        output.say(f"  {number}. {words}")
    picked: int = click.prompt(
        tr("{question} (0: not now)", question=question),
        type=click.IntRange(0, len(choices)),
        default=default + 1,
        err=True,
    )
    if picked == 0:
        raise NotNow
    return picked - 1


# --- Pages --------------------------------------------------------------------------------------------------


def _choose(loop: LoopThread, app: App, state: FlowState) -> FlowState:
    offered = flow.options(state)
    words = [f"{option.title}. {option.reason}" for option in offered]
    standing = next((place for place, each in enumerate(offered) if each == state.choice), 0)
    picked = offered[_number(tr("What shall answer?"), words, standing)]
    return flow.forward(flow.choose(state, picked))


def _do(loop: LoopThread, app: App, state: FlowState) -> FlowState:
    assert state.choice is not None
    try:
        if state.choice.backend == "openrouter":
            state = _get_key(loop, app, state)
        elif flow.to_download(state) is not None:
            state = _download(loop, app, state)
        else:
            state = _wait(loop, app, state)
    except WhisperError as error:
        output.say_error(error)
        return flow.back(state)
    return flow.forward(state) if flow.is_ready(state) else flow.back(state)


def _get_key(loop: LoopThread, app: App, state: FlowState) -> FlowState:
    choice = state.choice
    assert choice is not None
    if not state.key_stored:
        ways = (tr("Sign in with the browser"), tr("Enter a key"))
        if _number(tr("How does OpenRouter know you?"), ways, 0) == 0:
            where = loop.run(signed_in(app))
        else:
            key: str = click.prompt(tr("Key for {name}", name="OpenRouter"), hide_input=True, err=True)
            where = loop.run(app.set_key("openrouter", key))
        output.say(where)
        state = flow.key_stored(state)
    output.say(tr("Models differ in price. All of them, with prices: openrouter.ai/models"))
    model: str = click.prompt(tr("Model"), default=choice.model or "openrouter/auto", err=True)
    return replace(state, choice=replace(choice, model=model.strip()))


def _download(loop: LoopThread, app: App, state: FlowState) -> FlowState:
    name = flow.to_download(state)
    assert name is not None
    path = loop.run(held(app.models, name))
    if path is None:
        if not click.confirm(tr("Download {model} now?", model=name), default=True, err=True):
            raise NotNow
        with output.progress(tr("Asking for it…")) as waiting:
            path = loop.run(_fetched(app, name, waiting))
    if path is None:
        return state
    loop.run(app.models.use(str(path)))
    seen = flow.servers_found(state, loop.run(app.scan()), scanning=False)
    return flow.use_instead(seen) if not flow.is_ready(seen) else seen


async def _fetched(app: App, name: str, waiting: output.Waiting) -> Path | None:
    """Where the model is once it has been fetched; None where it could not be, and why has been said."""
    downloads = app.models.downloads
    number = (await app.models.pull(name)).id
    async with aclosing(downloads.watch()) as changes:
        async for jobs in changes:
            job = next((each for each in jobs if each.id == number), None)
            if job is None or job.state == "done":
                return job.target if job is not None else None
            if job.state == "failed":
                waiting.stop()
                output.note(job.error)
                return None
            waiting.say(progress_line(job, "", _WIDTH, plain=False))
    return None


def _wait(loop: LoopThread, app: App, state: FlowState) -> FlowState:
    choice = state.choice
    assert choice is not None
    recommended = choice.recommended and state.recommendation is not None
    steps = state.recommendation.steps if recommended and state.recommendation else ()
    for number, step in enumerate(steps or setup_steps(choice.backend, choice.model), 1):
        output.say(f"  {number}. {step}")
    for link in links(choice.backend):
        output.say(f"  {tr(link.title)}: {link.url}")
    name = IDENTITIES[choice.backend].name
    with output.progress(tr("Waiting for {name}; Ctrl-C goes back…", name=name)):
        try:
            state = loop.run(_watched(app, state))
        except KeyboardInterrupt:
            return state
    other = flow.stand_in(state)
    if other is not None and click.confirm(tr("Use {model} instead?", model=other), default=True, err=True):
        return flow.use_instead(state)
    return state


async def _watched(app: App, state: FlowState) -> FlowState:
    """Until the choice can answer, or something else could in its place."""
    while True:
        state = flow.servers_found(state, await app.scan(), scanning=False)
        if flow.is_ready(state) or flow.stand_in(state) is not None:
            return state
        await asyncio.sleep(_LOOK_AGAIN)


def _test(loop: LoopThread, app: App, state: FlowState) -> FlowState:
    assert state.choice is not None
    output.say()
    output.say(f"> {question_for(state.choice.backend)}")
    report = loop.run(_tested(app, state))
    state = flow.tested(state, report)
    if report.ok:
        output.say(f"✓  {report.title}")
        return flow.forward(state)
    for part in (report.title, report.detail, report.next_step):
        if part:
            output.note(part)
    again = (tr("Test again"), tr("Choose otherwise"))
    if _number(tr("What now?"), again, 0) == 0:
        return state
    while state.page is not Page.FOUND:
        state = flow.back(state)
    return state


async def _tested(app: App, state: FlowState) -> ConnectionReport:
    choice = state.choice
    assert choice is not None
    outcome = ConnectionReport(False, tr("The answer ended before it began."))
    async with aclosing(app.test_stream(choice.backend, choice.model, reach=choice.reach)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                click.echo(output.clean(event.text), nl=False)
            elif isinstance(event, ConnectionReport):
                outcome = event
    click.echo()
    return outcome


def _privacy(loop: LoopThread, app: App, state: FlowState) -> FlowState:
    output.say()
    reaches = list(_REACHES)
    words = [tr(_REACHES[reach]) for reach in reaches]
    standing = reaches.index(flow.reach_of(state))
    picked = reaches[_number(tr("How far may what you write travel?"), words, standing)]
    return flow.forward(flow.may_travel(state, picked))


_Walk = Callable[[LoopThread, App, FlowState], FlowState]
_PAGES: dict[Page, _Walk] = {
    Page.FOUND: _choose,
    Page.DO: _do,
    Page.TEST: _test,
    Page.PRIVACY: _privacy,
}
"""The welcome was printed before; where there is no display, nothing starts with the computer."""
