"""What a server said it has: how long that is believed, and which of its models is meant."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from whisper_desktop.errors import BackendError, ConsentRequired, NetworkBlocked
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind, ModelInfo, Reach

Same = Callable[[str, str], bool]
"""Whether a name that somebody asks for means an entry of a list."""

_SHOWN_MODELS = 5


class Listing:
    """The last list of one server. Without one, `models` is empty and nothing is known."""

    def __init__(self) -> None:
        self.models: tuple[ModelInfo, ...] = ()
        self._by_id: dict[str, ModelInfo] = {}
        self._at: float | None = None
        self._asking = 0

    @property
    def is_known(self) -> bool:
        """Whether the server has listed anything since it was last doubted."""
        return self._at is not None

    def is_believed(self, seconds: float) -> bool:
        """Whether it is younger than so many seconds.

        While somebody asks for a new one already, the others go on with the old one, up to twice that age.
        """
        if self._at is None:
            return False
        return time.monotonic() - self._at < (2 * seconds if self._asking else seconds)

    @contextmanager
    def being_asked(self) -> Iterator[None]:
        """While this lasts, somebody asks for a new list."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    def take(self, models: tuple[ModelInfo, ...]) -> None:
        """The server has just said this."""
        self.models, self._at = models, time.monotonic()
        self._by_id = {model.id: model for model in reversed(models)}

    def forget(self) -> None:
        """Doubt all of it."""
        self.models, self._at, self._by_id = (), None, {}

    def entry(self, named: str, same: Same) -> ModelInfo | None:
        """What it says about the model that a name means."""
        exact = self._by_id.get(named)
        return find(named, self.models, same) if exact is None and self.models else exact


def find(named: str, models: Sequence[ModelInfo], same: Same) -> ModelInfo | None:
    """The entry that a name means, by preference the one that is called just so."""
    exact = next((model for model in models if model.id == named), None)
    return exact or next((model for model in models if same(named, model.id)), None)


def preferred(models: Iterable[ModelInfo]) -> ModelInfo | None:
    """The model to take where none is named: one that answers chats, here if possible, loaded if possible."""
    able = (model for model in models if model.can_chat)
    return min(able, key=lambda model: (model.remote, not model.loaded), default=None)


def pick(
    named: str | None,
    models: Sequence[ModelInfo],
    allowed: Reach,
    *,
    server: str,
    same: Same,
    allow_network: bool = True,
) -> str:
    """One of the models that a server lists: the named one, else a loaded one, else the first here.

    Raises `BackendError` MODEL_MISSING, or, for a model that runs somewhere else, `NetworkBlocked` where the
    network is switched off, else `ConsentRequired`.
    """
    if not allow_network:
        allowed = Reach.THIS_MACHINE
    if named is not None:
        found = find(named, models, same)
    else:
        found = preferred(model for model in models if not model.remote or allowed is Reach.CLOUD)
    if found is None:
        names = [model.id for model in models if model.can_chat]
        shown = ", ".join(names[:_SHOWN_MODELS]) + (tr(" and more") if len(names) > _SHOWN_MODELS else "")
        raise BackendError(
            ErrorKind.MODEL_MISSING,
            tr("The model is not there."),
            tr("It has: {shown}.", shown=shown) if names and named else "",
            request_sent=False,
        )
    if found.remote and not allow_network:
        raise NetworkBlocked(
            tr(
                "Nothing was sent: {found_id} does not run on this computer, and the network is "
                "switched off.",
                found_id=found.id,
            ),
            tr(
                "{server} passes it on to another machine. WHISPER_ALLOW_NETWORK=0 allows this "
                "computer only.",
                server=server,
            ),
            tr("Choose a model that runs on this computer, or start without that setting."),
        )
    if found.remote and allowed is not Reach.CLOUD:
        raise ConsentRequired(
            tr("Nothing was sent: {found_id} does not run on this computer.", found_id=found.id),
            tr("{server} passes it on to another machine.", server=server),
            tr("Allow the cloud for this conversation, or choose another model."),
            needed=Reach.CLOUD,
        )
    return named or found.id
