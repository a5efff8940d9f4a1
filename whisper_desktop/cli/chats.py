"""`chats list|search|show|export|import|delete|restore`: the conversations that are kept on this computer."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from whisper_desktop.app import App
from whisper_desktop.cli import output
from whisper_desktop.cli.running import json_option, run, with_app
from whisper_desktop.control.changes import tell_conversations_changed
from whisper_desktop.errors import ControlError, WhisperError
from whisper_desktop.events import Notice
from whisper_desktop.language import tr, trn

if TYPE_CHECKING:
    from whisper_desktop.app.chats import ChatHost
    from whisper_desktop.chat.exporting import Kept
    from whisper_desktop.chat.importing import ImportReport
    from whisper_desktop.chat.records import Conversation, Hit

T = TypeVar("T")

_SHORTEST_ID = 7
_FORMATS = {"md": "markdown", "json": "json", "html": "html"}
_TO_STANDARD_OUTPUT = "-"


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def chats(context: click.Context, as_json: bool) -> None:
    """List, search, export and import conversations.

    An ID may be shortened to its first letters, as long as only one conversation has them.
    """
    if context.invoked_subcommand is None:
        _list(in_bin=False, as_json=as_json)


@chats.command("list")
@click.option("--bin", "in_bin", is_flag=True, help="Those that were deleted and can be restored.")
@json_option
def list_chats(in_bin: bool, as_json: bool) -> None:
    """List conversations, newest first."""
    _list(in_bin=in_bin, as_json=as_json)


def _list(*, in_bin: bool, as_json: bool) -> None:
    async def work(host: "ChatHost") -> "tuple[tuple[Conversation, ...], tuple[Conversation, ...]]":
        return await host.list(), await host.deleted()

    listed, deleted = _with_chats(work, as_json=as_json)
    shown = deleted if in_bin else listed
    if as_json:
        output.emit_json({"conversations": [conversation_shape(each) for each in shown]})
        return
    from whisper_desktop.chat.exporting.kept import moment, title_of

    if not shown:
        output.say(tr("The bin is empty.") if in_bin else tr("No conversations are kept yet."))
        return
    length = _needed_length([each.id for each in (*listed, *deleted)])
    output.table(
        [(each.id[:length], moment(each.updated), title_of(each), _mark(each)) for each in shown],
        header=(tr("ID"), tr("Changed"), tr("Title"), ""),
    )


def _mark(conversation: "Conversation") -> str:
    return tr("pinned") if conversation.pinned else ""


@chats.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@json_option
def search(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Say where WORDS stand in the conversations."""

    async def work(host: "ChatHost") -> "tuple[tuple[Hit, ...], tuple[Conversation, ...]]":
        return await host.search(" ".join(words), limit), (*await host.list(), *await host.deleted())

    hits, known = _with_chats(work, as_json=as_json)
    if as_json:
        output.emit_json({"hits": [hit_shape(hit) for hit in hits]})
        return
    from whisper_desktop.chat.exporting.kept import moment

    if not hits:
        output.say(tr("Nothing was found."))
        return
    length = _needed_length([each.id for each in known])
    for hit in hits:
        output.heading(f"{hit.conversation[:length]}  {moment(hit.created)}  {' '.join(hit.title.split())}")
        said = "".join(part for part, _is_word in hit.snippet)
        output.say(f"  {' '.join(said.split())}")


@chats.command()
@click.argument("id")
@json_option
def show(id: str, as_json: bool) -> None:  # noqa: A002 - what it is called outside
    """Print a conversation as Markdown."""

    async def work(host: "ChatHost") -> "tuple[Kept, ...]":
        found = _resolved((id,), (*await host.list(), *await host.deleted()))
        return await host.whole([each.id for each in found])

    (kept,) = _with_chats(work, as_json=as_json)
    from whisper_desktop.chat.exporting import export_markdown
    from whisper_desktop.chat.exporting.document import conversation_json

    if as_json:
        output.emit_json(conversation_json(kept))
    else:
        click.echo(output.clean(export_markdown(kept)), nl=False)


@chats.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All conversations that are not in the bin.")
@click.option(
    "--format",
    "ending",
    type=click.Choice(list(_FORMATS)),
    default="md",
    show_default=True,
    help="Markdown and HTML to read; JSON to keep everything and to import again.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    default=_TO_STANDARD_OUTPUT,
    help="The file to write; several in Markdown or HTML become a .zip. Without it: standard output.",
)
def export(ids: tuple[str, ...], everything: bool, ending: str, out: Path) -> None:
    """Write conversations into a file, or to standard output."""
    if bool(ids) == everything:
        raise click.UsageError(tr("Name the conversations to export, or say --all."))
    to_standard_output = str(out) == _TO_STANDARD_OUTPUT
    if to_standard_output and ending != "json" and (everything or len(ids) > 1):
        raise click.UsageError(tr("Several conversations become a .zip file: name it with --out."))

    kind = _FORMATS[ending]

    async def work(host: "ChatHost") -> bytes | int:
        listed = await host.list()
        found = list(listed) if everything else _resolved(ids, (*listed, *await host.deleted()))
        if not to_standard_output:
            await host.export([each.id for each in found], kind, out)
            return len(found)
        from whisper_desktop.chat.exporting.files import ExportFormat, exported

        return exported(await host.whole([each.id for each in found]), ExportFormat(kind))

    done = _with_chats(work, as_json=False)
    if isinstance(done, bytes):
        # A file gets what was said as it was said; a terminal would obey what a model may have put into it.
        click.echo(output.clean(done.decode()) if sys.stdout.isatty() else done, nl=False)
    else:
        output.note(
            trn(
                "One conversation was written to {file}.",
                "{count} conversations were written to {file}.",
                done,
                file=out,
            )
        )


@chats.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def import_files(files: tuple[Path, ...], as_json: bool) -> None:
    """Take in an export: ours, ChatGPT, LM Studio, Jan, Open WebUI.

    FILE is a .json or .zip file, or a folder of conversations. Importing it again adds only what is new.
    """

    async def work(host: "ChatHost") -> "list[ImportReport]":
        if not host.kept:
            raise WhisperError(host.why_not)
        return [await host.import_file(file) for file in files]

    reports = _with_chats(work, as_json=as_json, words=tr("Reading conversations…"), changes=True)
    if as_json:
        output.emit_json({"imports": [import_shape(report) for report in reports]})
        return
    for report in reports:
        for sentence in told(report):
            output.say(sentence)


def told(report: "ImportReport") -> tuple[str, ...]:
    """What an import did, in sentences."""
    said = []
    if report.conversations or not (report.grown or report.already):
        said.append(
            trn(
                "{source}: one conversation was imported.",
                "{source}: {count} conversations were imported.",
                report.conversations,
                source=report.source,
            )
        )
    if report.grown:
        said.append(
            trn(
                "{source}: one conversation was here and got what is new.",
                "{source}: {count} conversations were here and got what is new.",
                report.grown,
                source=report.source,
            )
        )
    if report.already:
        said.append(
            trn(
                "{source}: one conversation was here already.",
                "{source}: {count} conversations were here already.",
                report.already,
                source=report.source,
            )
        )
    return (*said, *report.skipped)


@chats.command()
@click.argument("ids", nargs=-1, required=True)
@json_option
def delete(ids: tuple[str, ...], as_json: bool) -> None:
    """Put conversations into the bin."""

    async def work(host: "ChatHost") -> "tuple[list[Conversation], set[str]]":
        found = _resolved(ids, await host.list())
        for each in found:
            await host.delete(each.id)
        return found, {each.id for each in await host.deleted()}

    done, in_bin = _with_chats(work, as_json=as_json, changes=True)
    if as_json:
        output.emit_json({"deleted": [each.id for each in done]})
        return
    from whisper_desktop.chat.exporting.kept import title_of

    for each in done:
        if each.id in in_bin:
            output.say(tr("“{title}” is in the bin.", title=title_of(each)))
        else:  # the setting chat.bin_days says 0
            output.say(tr("“{title}” is deleted for good.", title=title_of(each)))


@chats.command()
@click.argument("ids", nargs=-1, required=True)
@json_option
def restore(ids: tuple[str, ...], as_json: bool) -> None:
    """Take conversations back out of the bin."""

    async def work(host: "ChatHost") -> "list[Conversation]":
        found = _resolved(ids, await host.deleted())
        for each in found:
            await host.restore(each.id)
        return found

    done = _with_chats(work, as_json=as_json, changes=True)
    if as_json:
        output.emit_json({"restored": [each.id for each in done]})
        return
    from whisper_desktop.chat.exporting.kept import title_of

    for each in done:
        output.say(tr("“{title}” is back.", title=title_of(each)))


# --- ids --------------------------------------------------------------------------------------------------


def _resolved(ids: Sequence[str], known: "Sequence[Conversation]") -> "list[Conversation]":
    """The conversations that these ids, or beginnings of ids, name. Raises `WhisperError`."""
    found = []
    for wanted in ids:
        fitting = [each for each in known if each.id == wanted] or [
            each for each in known if wanted and each.id.startswith(wanted)
        ]
        if len(fitting) > 1:
            raise WhisperError(
                tr("More than one conversation begins with “{id}”.", id=wanted),
                "",
                tr("Give more letters of the ID."),
            )
        if not fitting:
            raise WhisperError(
                tr("There is no conversation “{id}” here.", id=wanted),
                "",
                tr("`whisper-desktop chats list` shows what there is; `--bin` what was deleted."),
            )
        found.append(fitting[0])
    return found


def _needed_length(ids: Sequence[str]) -> int:
    """How many letters tell all these ids apart."""
    length = _SHORTEST_ID
    while len({each[:length] for each in ids}) < len(set(ids)):
        length += 1
    return length


def _with_chats(
    work: "Callable[[ChatHost], Awaitable[T]]", *, as_json: bool, words: str = "", changes: bool = False
) -> T:
    """What `work` returns. After one that `changes` something a running desktop looks again."""

    async def of_app(app: App) -> T:
        told: list[Notice] = []
        app.bus.listen(Notice, told.append)
        await app.chats.need_file()
        for notice in told:  # it was repaired, say; what went wrong is raised, and told as the error it is
            output.note(f"{notice.title} {notice.detail}".strip())
        done = await work(app.chats)
        await app.chats.flush()
        return done

    async def whole() -> T:
        done = await with_app(of_app)  # everything is on the disk now
        if changes:
            with suppress(ControlError):  # a desktop that is stuck sees it when it starts again
                await tell_conversations_changed()
        return done

    return run(whole(), as_json=as_json, words=words)


# --- shapes -----------------------------------------------------------------------------------------------


def conversation_shape(conversation: "Conversation") -> dict[str, object]:
    """A conversation in `chats list --json`."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "created": conversation.created,
        "updated": conversation.updated,
        "folder": conversation.folder,
        "pinned": conversation.pinned,
        "deleted": conversation.deleted,
    }


def hit_shape(hit: "Hit") -> dict[str, object]:
    """A place in `chats search --json`; `found` marks the parts of the snippet that were looked for."""
    return {
        "conversation": hit.conversation,
        "title": hit.title,
        "message": hit.message,
        "role": None if hit.role is None else hit.role.value,
        "created": hit.created,
        "snippet": [{"text": part, "found": is_word} for part, is_word in hit.snippet],
    }


def import_shape(report: "ImportReport") -> dict[str, object]:
    """A file in `chats import --json`."""
    return {
        "source": report.source,
        "conversations": report.conversations,
        "messages": report.messages,
        "grown": report.grown,
        "already": report.already,
        "ids": list(report.ids),
        "skipped": list(report.skipped),
    }
