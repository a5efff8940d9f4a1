"""Every sentence about a failure is true and possible where the backend runs: the whole table, by its
properties.
"""

import errno
import re
import socket
from collections.abc import Callable, Iterator
from itertools import product

import pytest

from whisper_desktop.backends.words import told
from whisper_desktop.errors import BackendError
from whisper_desktop.settings.schema import SETTINGS
from whisper_desktop.values import IDENTITIES, ErrorKind, Reach
from whisper_desktop.wire import failures
from whisper_desktop.wire.address import Address, parse_url

HERE, LAN, CLOUD = Reach.THIS_MACHINE, Reach.MY_NETWORK, Reach.CLOUD
KEY = "sk-0123456789abcdef"
PLACES = {
    "built-in engine": ("builtin", "http://127.0.0.1:41999/v1", HERE),
    "guide": ("guide", "http://127.0.0.1:41998/v1", HERE),
    "LM Studio here": ("lm_studio", "http://127.0.0.1:1234/v1", HERE),
    "Ollama that nobody can place": ("ollama", "http://127.0.0.1:11434", None),
    "Ollama in the network": ("ollama", "http://192.168.1.20:11434", LAN),
    "an address in the cloud": ("openai_compatible", "https://ai.example.org/v1", CLOUD),
    "OpenRouter": ("openrouter", "https://openrouter.ai/api/v1", CLOUD),
    "OpenRouter, played by a server here": ("openrouter", "http://127.0.0.1:4010/api/v1", HERE),
    "Gemini": ("gemini", "https://generativelanguage.googleapis.com/v1beta", CLOUD),
}
IN_THE_CLOUD = [place for place, (id, _, reach) in PLACES.items() if reach is CLOUD or IDENTITIES[id].root]
OURS = ["built-in engine", "guide"]
ELSEWHERE = sorted(set(PLACES) - set(IN_THE_CLOUD))

ON_THE_WAY: dict[str, Callable[[Address], BackendError]] = {
    "refused": lambda to: failures.not_connected(to, OSError(errno.ECONNREFUSED, "refused")),
    "forbidden": lambda to: failures.not_connected(to, OSError(errno.EPERM, "Operation not permitted")),
    "no way": lambda to: failures.not_connected(to, OSError(errno.EHOSTUNREACH, "no route")),
    "silent": lambda to: failures.not_accepted(to, 2.0),
    "no name server": lambda to: failures.not_found(to, OSError(socket.EAI_AGAIN, "later")),
    "no such name": lambda to: failures.not_found(to, OSError(socket.EAI_NONAME, "none")),
    "proxy": failures.not_proxied,
    "certificate": lambda to: failures.not_safe(to, "self-signed", certificate=True),
    "no TLS": lambda to: failures.not_safe(to, "wrong version", certificate=False),
    "not taken": lambda to: failures.not_taken(to, 30.0),
    "closed": failures.not_answered,
    "no HTTP": failures.not_http,
    "not unpacked": failures.not_unpacked,
    "cut": lambda to: failures.cut(to, 200),
}


def sentences(place: str, *, models: tuple[str | None, ...] = ("qwen", None)) -> Iterator[BackendError]:
    """All that can be said of a backend at this place: every kind of refusal, and all that happens on the
    way there.
    """
    backend, url, reach = PLACES[place]
    met = [make(parse_url(url)) for make in ON_THE_WAY.values()]
    met += [BackendError(kind, "The server refused.", status=418) for kind in ErrorKind]
    for error, model in product(met, models):
        yield told(
            error,
            backend=backend,
            name=IDENTITIES[backend].name,
            url=url,
            model=model,
            reach=reach,
            key=KEY if place in IN_THE_CLOUD else None,
        )


def one(place: str, kind: ErrorKind, *, key: str | None = None, model: str | None = "qwen") -> BackendError:
    backend, url, reach = PLACES[place]
    error = BackendError(kind, "The server refused.")
    name = IDENTITIES[backend].name
    return told(error, backend=backend, name=name, url=url, model=model, reach=reach, key=key)


@pytest.mark.parametrize("place", IN_THE_CLOUD)
def test_nobody_is_sent_to_start_load_or_look_into_a_service(place: str) -> None:
    for error in sentences(place):
        assert not re.search(r"\b(re)?start (it|the server)|\b[lL]oad\b|\blog\b|\bpull\b", error.next_step), (
            error
        )
        if error.kind is not ErrorKind.LOADING:
            assert not re.search(r"\bloaded\b|\bis running\b|\bis not running\b", error.title), error


@pytest.mark.parametrize("place", ["OpenRouter", "Gemini"])
def test_nobody_is_blamed_for_the_address_of_a_service_that_all_know(place: str) -> None:
    assert not any("address" in error.next_step for error in sentences(place))


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_key_or_credit_is_not_spoken_of_where_none_is_used(place: str) -> None:
    for error in sentences(place):
        if error.kind is not ErrorKind.AUTH:
            assert not re.search(r"\bkeys?\b|\bcredit\b", str(error)), error


@pytest.mark.parametrize("place", OURS)
def test_nobody_sets_a_key_a_model_name_or_an_address_for_what_the_app_starts_itself(place: str) -> None:
    for error in sentences(place):
        assert "keys set" not in error.next_step
        assert "llm.model_name" not in error.next_step
        if error.kind not in (ErrorKind.NAME_NOT_FOUND, ErrorKind.TLS):  # There is no name, and no TLS.
            assert "address" not in error.next_step, error


@pytest.mark.parametrize("place", PLACES)
def test_every_setting_and_command_in_a_sentence_exists(place: str) -> None:
    known = {info.key for info in SETTINGS.values()}
    named = [setting for error in sentences(place) for setting in re.findall(r"llm\.[\w.]*\w", str(error))]
    assert set(named) <= known
    for error in sentences(place):
        assert "in Settings" not in str(error)  # It shows settings and forgets keys, and sets neither.
        commands = re.findall(r"`whisper-desktop ([a-z ]+)", error.next_step)
        assert all(command.startswith(("keys set", "config set", "engine ")) for command in commands)


@pytest.mark.parametrize("place", PLACES)
def test_a_failure_on_the_way_says_in_the_servers_name_what_happened_and_what_to_do(place: str) -> None:
    backend, url, reach = PLACES[place]
    name = IDENTITIES[backend].name
    for make in ON_THE_WAY.values():
        error = make(parse_url(url))
        said = told(error, backend=backend, name=name, url=url, model=None, reach=reach, key=None)
        assert name.lower() in said.title.lower()
        assert said.next_step.endswith(".")


def test_nobody_is_sent_across_the_internet_without_encryption() -> None:
    for place in IN_THE_CLOUD:
        assert not any(
            "http://" in error.next_step for error in sentences(place) if "127.0.0.1" not in str(error)
        )


def test_not_running_is_only_said_where_nothing_listens() -> None:
    backend, url, reach = PLACES["LM Studio here"]

    def title(happened: str) -> str:
        error = ON_THE_WAY[happened](parse_url(url))
        said = told(error, backend=backend, name="LM Studio", url=url, model=None, reach=reach, key=None)
        return f"{said.title} {said.detail}"

    assert title("refused") == "LM Studio is not running. Nothing answers at 127.0.0.1:1234."
    assert title("forbidden").startswith("LM Studio cannot be reached.")
    assert "Operation not permitted" in title("forbidden")


@pytest.mark.parametrize(
    ("place", "kind", "model", "step"),
    [
        (
            "OpenRouter",
            ErrorKind.MODEL_MISSING,
            "qwen",
            "Check its name, or choose another one: `whisper-desktop config set llm.openrouter.model NAME`.",
        ),
        (
            "an address in the cloud",
            ErrorKind.MODEL_MISSING,
            None,
            "Name one: `whisper-desktop config set llm.model_name NAME`.",
        ),
        (
            "Ollama in the network",
            ErrorKind.MODEL_MISSING,
            None,
            "Add one with `ollama pull NAME`, then ask again.",
        ),
        ("LM Studio here", ErrorKind.MODEL_MISSING, None, "Load one in LM Studio, then ask again."),
        (
            "built-in engine",
            ErrorKind.MODEL_MISSING,
            None,
            "Choose another model file: `whisper-desktop config set llm.gguf_model_path FILE`.",
        ),
        (
            "OpenRouter",
            ErrorKind.AUTH,
            "qwen",
            "Set the key in Setup, or with `whisper-desktop keys set openrouter`.",
        ),
        ("Gemini", ErrorKind.AUTH, "qwen", "Set the key: `whisper-desktop keys set gemini`."),
        (
            "LM Studio here",
            ErrorKind.AUTH,
            "qwen",
            "Set the key: `whisper-desktop keys set http://127.0.0.1:1234`.",
        ),
        ("built-in engine", ErrorKind.CONNECT_REFUSED, "qwen", "Ask again: it is started anew."),
        (
            "built-in engine",
            ErrorKind.SERVER_ERROR,
            "qwen",
            "Try again, or look at its log: `whisper-desktop engine logs`.",
        ),
        ("LM Studio here", ErrorKind.SERVER_ERROR, "qwen", "Try again, or look at the log of LM Studio."),
        (
            "Ollama in the network",
            ErrorKind.SERVER_ERROR,
            "qwen",
            "Try again, or look at its log on that computer.",
        ),
        ("OpenRouter", ErrorKind.SERVER_ERROR, "qwen", "Try again in a moment, or use another backend."),
    ],
)
def test_what_to_do_depends_on_where_it_runs(
    place: str, kind: ErrorKind, model: str | None, step: str
) -> None:
    assert one(place, kind, model=model).next_step == step


def test_a_key_that_cannot_be_sent_is_not_one_that_is_missing() -> None:
    error = BackendError(ErrorKind.AUTH, "The key cannot be sent.", "A line break.", request_sent=False)
    backend, url, reach = PLACES["OpenRouter"]
    said = told(error, backend=backend, name="OpenRouter", url="", model=None, reach=reach, key=None)
    assert str(said).startswith("The key for OpenRouter cannot be sent. A line break. Set the key in Setup")


def test_a_limit_is_the_keys_where_there_is_a_key() -> None:
    assert (
        one("LM Studio here", ErrorKind.QUOTA, key=KEY).title == "LM Studio says the key has no credit left."
    )
    assert one("LM Studio here", ErrorKind.QUOTA).title == "LM Studio says that its limit is reached."


def test_a_name_that_is_a_word_stands_in_a_sentence_as_one() -> None:
    overflow = ErrorKind.CONTEXT_OVERFLOW
    assert one("built-in engine", overflow).title.endswith("for qwen on the built-in engine.")
    assert one("LM Studio here", overflow).title.endswith("for qwen on LM Studio.")
