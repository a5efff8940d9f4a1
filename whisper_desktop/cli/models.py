"""`models`: everything a person can do with models, in the terminal."""

import click

from whisper_desktop.cli.lazy import LazyGroup
from whisper_desktop.cli.models_list import list_models

_COMMANDS = {
    "search": "models_search",
    "fit": "models_fit",
    "pull": "models_pull",
    "verify": "models_verify",
    "remove": "models_tidy",
    "dedupe": "models_tidy",
    "use": "models_use",
}


@click.group(cls=LazyGroup, modules=_COMMANDS, invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Find, fetch, use and tidy models; say whether one fits.

    Without a command: the list of models on this computer, whichever program brought them.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_models, paths=False, as_json=False)


models.add_command(list_models)
