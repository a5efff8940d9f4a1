"""What opening the file of conversations found and did."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What opening the file of conversations found and did.

    `recovered` are the messages that a run which died was still writing; they are STOPPED now. `backup` is
    the copy that was made before an upgrade. `notice` is what a person should be told, as a title and a
    detail: a damaged file was repaired, or set aside.
    """

    recovered: tuple[str, ...] = ()
    backup: Path | None = None
    notice: tuple[str, str] | None = None
