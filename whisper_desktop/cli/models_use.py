"""`models use`: makes a model the one of the app's own engine, where its files lie."""

from typing import TYPE_CHECKING

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import json_option, run, with_app
from whisper_desktop.control.changes import tell_owner

if TYPE_CHECKING:
    from whisper_desktop.app.model_host import Chosen


@click.command()
@click.argument("name")
@json_option
def use(name: str, as_json: bool) -> None:
    """Let the app's own engine run this model.

    NAME is one from `models list`, or a GGUF file. It is used where it lies, also one of Ollama or LM Studio.
    """

    async def work(app: App) -> "Chosen":
        chosen = await app.models.use(name)
        await tell_owner()
        return chosen

    chosen = run(with_app(work), as_json=as_json)
    if as_json:
        told = {"model": chosen.model.name, "path": str(chosen.model.path)}
        output.emit_json(told | {"remark": chosen.remark or None})
        return
    output.say(f"The app's own engine runs {chosen.model.name} from the next question on.")
    if chosen.remark:
        output.note(f"Note: {chosen.remark}")
