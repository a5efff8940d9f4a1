"""Addresses in settings: the one parser of `wire.address`, with its sentences as a setting wants them."""

from whisper_desktop.errors import SettingsError
from whisper_desktop.values import IDENTITIES
from whisper_desktop.wire.address import normalise_url, origin

OPENROUTER_ORIGIN = IDENTITIES["openrouter"].root
EXAMPLE = "an address such as http://127.0.0.1:1234/v1"


def normalised(text: str) -> str:
    """The address in its one form. Raises `ValueError` with the sentence that says what is wrong with it."""
    try:
        return normalise_url(text)
    except SettingsError as error:
        # Without the title: it repeats the text, which may be a key in the wrong place.
        raise ValueError(f"{error.detail} {error.next_step}") from None


def origin_of(address: str) -> str:
    """Scheme, host and port of an address: what a key belongs to. Raises as `normalised` does."""
    return origin(normalised(address))
