"""Who may answer a conversation and how far it may go, as entries of menus. No Qt."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whisper_desktop.chat.records import ChatWishes
from whisper_desktop.language import tr
from whisper_desktop.ui.tray.entries import SEPARATOR, Entry, backend_entries
from whisper_desktop.values import Reach

if TYPE_CHECKING:
    from whisper_desktop.app.choices import BackendChoice

_MOST_MODELS = 40


def who_answers(choices: "Sequence[BackendChoice]", wishes: ChatWishes) -> str:
    """The words on the button: the model, else the backend that was chosen here, else what holds for all."""
    if wishes.model is not None:
        return wishes.model
    chosen = next((each for each in choices if each.id == wishes.backend and each.id is not None), None)
    if chosen is not None:
        return chosen.name
    if wishes.backend is not None:
        return wishes.backend
    return _for_all(choices)


def _for_all(choices: "Sequence[BackendChoice]") -> str:
    return next((each.name for each in choices if each.chosen), tr("Automatic"))


def chat_entries(choices: "Sequence[BackendChoice]", wishes: ChatWishes) -> tuple[Entry, ...]:
    """Who answers this chat from its next message on: a line for each backend, its models below it."""
    everywhere = next((each for each in choices if each.chosen and each.id is not None), None)
    usual = (
        tr("Automatic") if everywhere is None else tr("As for all chats: {backend}", backend=everywhere.name)
    )
    own = wishes.backend is not None or wishes.model is not None
    first = Entry(usual, "backend", None, "", checked=not own)
    lines = [_line(each, wishes) for each in choices if each.id is not None]
    for_all = (SEPARATOR, Entry(tr("Use for all new chats"), "for_all")) if own else ()
    return (first, SEPARATOR, *lines, *for_all)


def once_entries(choices: "Sequence[BackendChoice]") -> tuple[Entry, ...]:
    """Who may give one more answer to a question."""
    return tuple(_line(each, None) for each in choices if each.id is not None)


def _line(choice: "BackendChoice", wishes: ChatWishes | None) -> Entry:
    (plain,) = backend_entries([choice])
    here = wishes is not None and wishes.backend == choice.id
    of_any = wishes is not None and here and wishes.model is None
    any_model = Entry(
        plain.text, "backend", choice.id, plain.detail, checked=None if wishes is None else of_any
    )
    if not choice.models:
        return any_model
    models = [
        Entry(
            model,
            "model",
            f"{choice.id}\n{model}",
            tr("loaded") if model in choice.loaded else "",
            checked=None if wishes is None else here and wishes.model == model,
        )
        for model in choice.models[:_MOST_MODELS]
    ]
    any_named = Entry(
        tr("Any of its models"), "backend", choice.id, checked=None if wishes is None else of_any
    )
    text = f"✓ {plain.text}" if here else plain.text
    return Entry(text, children=(any_named, SEPARATOR, *models))


def chosen_of(action: str, value: str | None) -> tuple[str | None, str | None]:
    """The backend and the model that an entry stands for."""
    if action == "model" and value is not None:
        backend, _, model = value.partition("\n")
        return backend, model
    return value, None


def reach_words(reach: Reach) -> str:
    """What stands on the sign: how far the messages of a chat may go."""
    match reach:
        case Reach.THIS_MACHINE:
            return tr("⌂ this computer")
        case Reach.MY_NETWORK:
            return tr("⇄ my network")
        case Reach.CLOUD:
            return tr("☁ cloud")


def reach_explained(reach: Reach) -> str:
    """The same as a sentence."""
    match reach:
        case Reach.THIS_MACHINE:
            return tr("Nothing you write here leaves this computer.")
        case Reach.MY_NETWORK:
            return tr("What you write here may go to computers in your network, and not to the internet.")
        case Reach.CLOUD:
            return tr("What you write here may go to services on the internet.")


def reach_entries(reach: Reach) -> tuple[Entry, ...]:
    """How far a chat may go, the nearest first."""
    return (
        Entry(tr("Only this computer"), "reach", Reach.THIS_MACHINE.value, "", reach is Reach.THIS_MACHINE),
        Entry(tr("My network, too"), "reach", Reach.MY_NETWORK.value, "", reach is Reach.MY_NETWORK),
        Entry(tr("The internet, too"), "reach", Reach.CLOUD.value, "", reach is Reach.CLOUD),
        SEPARATOR,
        Entry(reach_explained(reach)),
    )
