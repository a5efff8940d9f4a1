"""Embedding vectors, checked number by number: they come from servers we do not trust. No I/O."""

import math

from whisper_desktop.errors import BackendError
from whisper_desktop.language import tr
from whisper_desktop.values import ErrorKind


def vectors_of(values: object) -> tuple[tuple[float, ...], ...]:
    """A list of vectors, none of them empty. Raises `BackendError` MALFORMED for anything else."""
    if not isinstance(values, list):
        raise _no_vectors()
    return tuple(map(_vector, values))


def _vector(values: object) -> tuple[float, ...]:
    if not isinstance(values, list) or not values or not {int, float}.issuperset(map(type, values)):
        raise _no_vectors()
    try:
        vector = tuple(map(float, values))
    except OverflowError:
        raise _no_vectors() from None
    if not all(map(math.isfinite, vector)):
        raise _no_vectors()
    return vector


def _no_vectors() -> BackendError:
    return BackendError(
        ErrorKind.MALFORMED,
        tr("The server's embeddings cannot be read."),
        tr("They are not lists of numbers."),
        tr("Choose another embedding model."),
    )
