"""`whisper-desktop ask`, and what a link opens: in the desktop that runs, or else here."""

import click

from whisper_desktop.app.links import Opening, opening_of, without_unseen
from whisper_desktop.cli.chat import chat, piped_question
from whisper_desktop.cli.running import Failed, of_owner, run
from whisper_desktop.control import RemoteCore


@click.command()
@click.argument("question", nargs=-1, metavar="[TEXT]...")
@click.pass_context
def ask(context: click.Context, question: tuple[str, ...]) -> None:
    """Open Quick ask with TEXT, or answer it here.

    Where the desktop app runs, its small window comes to the front with TEXT in it; you send it there.
    Elsewhere it is answered like `chat TEXT`. What is piped in, such as a selection, goes along with TEXT.
    """
    text = "\n\n".join(part for part in (" ".join(question).strip(), piped_question()) if part)
    if not run(_show(Opening("ask", without_unseen(text))), as_json=False, tell=False):
        context.invoke(chat, prompt=(text,) if text else ())


def show_in_running(link: str) -> int | None:
    """Have the desktop that runs open a link: the exit code, or None where none runs."""
    try:
        shown = run(_show(opening_of(link)), as_json=False, tell=False)
    except Failed:
        return 1
    return 0 if shown else None


async def _show(opening: Opening) -> bool:
    """Whether a desktop runs and has been told."""

    async def show(owner: RemoteCore) -> bool:
        return owner.has_desktop and await owner.show(opening.window, opening.value, say=opening.problem)

    return await of_owner(show, False)
