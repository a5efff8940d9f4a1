"""What can be told about a recognised server from its answers."""

from dataclasses import dataclass

from whisper_desktop.values import ModelInfo, ServerStatus


@dataclass(frozen=True, slots=True)
class Description:
    """`models` is None while nobody knows: its list did not arrive. `status` is set where the server says so
    itself; otherwise it follows from the models. `note` is a sentence that replaces the usual one.
    """

    models: tuple[ModelInfo, ...] | None = None
    version: str | None = None
    status: ServerStatus | None = None
    note: str = ""
