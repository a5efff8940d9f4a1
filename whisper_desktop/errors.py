"""The exception tree. Every error carries what happened, why, and what to do next, in words for a person.

WhisperError                      anything we say to a person
|-- SettingsError                 a setting cannot be used
|-- SecretsError                  the keyring refused or is missing
|-- ReachError                    a request would go farther than allowed
|   |-- ConsentRequired           the person may allow it
|   `-- NetworkBlocked            WHISPER_ALLOW_NETWORK=0 forbids it
|-- BackendError                  one attempt at one backend failed; carries its ErrorKind
|-- LLMConnectionError            no backend in the chain answered; carries all attempts and guidance
|-- Interrupted                   the answer broke off after text was shown; carries that text
|-- FeatureNotEnabledError        a part of the app is switched off
|-- DependencyError               a part of the app needs something that is not installed
|-- EngineError                   a server process of ours cannot run
|-- StoreError                    conversations cannot be kept, or not be read
|-- ModelFileError                a model file is missing, broken or not a model
|-- TransferError                 a file could not be downloaded or unpacked
|-- ResourceMissing               a file that belongs to the program is not there
`-- ControlError                  the owner process cannot be reached or refused
    `-- OwnerGone                 it ended while it was being asked
"""

from whisper_desktop.values import Attempt, ErrorKind, Reach, Repair, SetupGuidance


class WhisperError(Exception):
    """Base of everything that is meant to be read by a person.

    `title` says what happened, `detail` why (as far as known), `next_step` what to do.
    `str()` joins them into one paragraph. None of them ever holds a key.
    """

    def __init__(self, title: str, detail: str = "", next_step: str = "") -> None:
        super().__init__(title, detail, next_step)
        self.title = title
        self.detail = detail
        self.next_step = next_step

    def __str__(self) -> str:
        return " ".join(part for part in (self.title, self.detail, self.next_step) if part)


class SettingsError(WhisperError):
    """A setting cannot be used. `key` is the dotted name; `where` is the file and line, variable or flag."""

    def __init__(self, title: str, detail: str = "", next_step: str = "", *, key: str = "", where: str = ""):
        super().__init__(title, detail, next_step)
        self.key = key
        self.where = where


class SecretsError(WhisperError):
    """The operating system's keyring is missing, locked, or refused."""


class ReachError(WhisperError):
    """A request would have left the reach that is allowed. Nothing was sent.

    `attempts` are all tries of a chain that stopped here, `setup_guidance` what else could be done, `repairs`
    what could mend an engine of ours that was among them.
    """

    kind = ErrorKind.CONSENT_REQUIRED

    def __init__(
        self,
        title: str,
        detail: str = "",
        next_step: str = "",
        *,
        attempts: tuple[Attempt, ...] = (),
        setup_guidance: SetupGuidance | None = None,
        repairs: tuple[Repair, ...] = (),
    ) -> None:
        super().__init__(title, detail, next_step)
        self.attempts = attempts
        self.setup_guidance = setup_guidance
        self.repairs = repairs


class ConsentRequired(ReachError):
    """The person may allow this: `needed` is the reach to ask for, or None for a server nobody can place."""

    def __init__(
        self,
        title: str,
        detail: str = "",
        next_step: str = "",
        *,
        needed: Reach | None = None,
        attempts: tuple[Attempt, ...] = (),
        setup_guidance: SetupGuidance | None = None,
        repairs: tuple[Repair, ...] = (),
    ) -> None:
        super().__init__(
            title, detail, next_step, attempts=attempts, setup_guidance=setup_guidance, repairs=repairs
        )
        self.needed = needed


class NetworkBlocked(ReachError):
    """The network is switched off for this run by WHISPER_ALLOW_NETWORK."""

    kind = ErrorKind.OFFLINE


class BackendError(WhisperError):
    """One attempt at one backend failed.

    `kind` drives what the chain does next; `status` is the HTTP status where there was one; `retry_after` is
    in seconds; `request_sent` tells whether the server may have seen the request. `attempts` are all tries of
    a chain that this failure has ended, `repairs` what could mend an engine of ours.
    """

    def __init__(
        self,
        kind: ErrorKind,
        title: str,
        detail: str = "",
        next_step: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        request_sent: bool = True,
        attempts: tuple[Attempt, ...] = (),
        repairs: tuple[Repair, ...] = (),
    ) -> None:
        super().__init__(title, detail, next_step)
        self.kind = kind
        self.attempts = attempts
        self.repairs = repairs
        self.status = status
        self.retry_after = retry_after
        self.request_sent = request_sent


class LLMConnectionError(WhisperError):
    """No backend of the chain answered: `attempts` are all tries in order, `last_error` the last failure.

    `kind` is that of the failure the words are about: the one a person can do most about. `repairs` are what
    could mend an engine of ours that was among them.
    """

    def __init__(
        self,
        title: str,
        detail: str = "",
        next_step: str = "",
        *,
        kind: ErrorKind = ErrorKind.NOT_CONFIGURED,
        attempts: tuple[Attempt, ...] = (),
        last_error: WhisperError | None = None,
        setup_guidance: SetupGuidance | None = None,
        repairs: tuple[Repair, ...] = (),
    ) -> None:
        super().__init__(title, detail, next_step)
        self.kind = kind
        self.attempts = attempts
        self.repairs = repairs
        self.last_error = last_error
        self.setup_guidance = setup_guidance


class Interrupted(WhisperError):
    """An answer broke off after part of it had been shown: `partial_text`. `kind` says why it ended.

    `repairs` are what could mend an engine of ours that gave it.
    """

    def __init__(
        self,
        title: str,
        detail: str = "",
        next_step: str = "",
        *,
        partial_text: str = "",
        kind: ErrorKind = ErrorKind.STREAM_CUT,
        attempts: tuple[Attempt, ...] = (),
        repairs: tuple[Repair, ...] = (),
    ) -> None:
        super().__init__(title, detail, next_step)
        self.partial_text = partial_text
        self.kind = kind
        self.attempts = attempts
        self.repairs = repairs


class FeatureNotEnabledError(WhisperError):
    """A part of the app is switched off, or this version does not have it."""


class DependencyError(WhisperError):
    """A part of the app needs something that is not installed."""


class EngineError(WhisperError):
    """A server process of ours cannot run, or what belongs to it, or to another program's, cannot be done.

    `cause` is a short stable word. `engines.diagnosis` lists those of an engine, and `engines.pool` hands
    them on. `engines.builds` (build_...) and `engines.programs` (not_running, app_moved ...) have words of
    their own, each beside its sentences in the module that raises it.
    `repairs` are what a person can accept with one click, the likeliest to help first.
    """

    def __init__(
        self,
        title: str,
        detail: str = "",
        next_step: str = "",
        *,
        cause: str = "unknown",
        repairs: tuple[Repair, ...] = (),
    ):
        super().__init__(title, detail, next_step)
        self.cause = cause
        self.repairs = repairs


class StoreError(WhisperError):
    """The file of conversations cannot be opened, written or read.

    `cause` is a short stable word: newer, full, disk, read_only, permission, busy, damaged, closed, unknown.
    """

    def __init__(self, title: str, detail: str = "", next_step: str = "", *, cause: str = "unknown"):
        super().__init__(title, detail, next_step)
        self.cause = cause


class ModelFileError(WhisperError):
    """A model file is missing, broken, or not a model."""


class TransferError(WhisperError):
    """A file could not be downloaded, or what was downloaded cannot be unpacked."""


class ResourceMissing(WhisperError):
    """A file that belongs to the program is not there: the installation is incomplete."""


class ControlError(WhisperError):
    """The process that owns the engine and the settings cannot be reached, or refused."""


class OwnerGone(ControlError):
    """The owner ended while it was being asked. Asking again reaches the next owner, or becomes it."""
