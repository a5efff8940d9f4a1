"""Everything that can generate, one module each, built by `create_backend`."""

from whisper_desktop.backends.base import Answer, Backend, BackendConfig, KeySource
from whisper_desktop.backends.factory import BACKENDS, create_backend

__all__ = ["BACKENDS", "Answer", "Backend", "BackendConfig", "KeySource", "create_backend"]
