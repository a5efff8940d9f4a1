"""Whisper Desktop: local AI that simply works, as a desktop app, a terminal program and a Python package.

    import asyncio
    from whisper_desktop import LocalLLMDetector, detect_resources, get_recommended_setup

    servers = asyncio.run(LocalLLMDetector().detect_available_servers())
    print(get_recommended_setup(detect_resources(), servers).reasons[0])

Everything public is named in `__all__` and loaded on first use, so that importing the package costs next to
nothing. Nothing inside the package imports this module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whisper_desktop.advice import get_recommended_setup, setup_guidance
    from whisper_desktop.app import App
    from whisper_desktop.backends import BackendConfig, create_backend
    from whisper_desktop.discovery import LocalLLMDetector
    from whisper_desktop.errors import (
        Interrupted,
        BackendError,
        ConsentRequired,
        EngineError,
        LLMConnectionError,
        NetworkBlocked,
        SecretsError,
        SettingsError,
        WhisperError,
    )
    from whisper_desktop.llm import LLMClient
    from whisper_desktop.machine import detect_resources
    from whisper_desktop.values import (
        Attempt,
        Completion,
        Deadlines,
        ErrorKind,
        GenerationConfig,
        GpuInfo,
        Message,
        ModelInfo,
        Provenance,
        Reach,
        ResourceInfo,
        Role,
        ServerInfo,
        ServerStatus,
        SetupGuidance,
        SetupRecommendation,
        StreamEvent,
    )

__version__ = "0.1.0"

_HOMES = {
    "whisper_desktop.advice": ("get_recommended_setup", "setup_guidance"),
    "whisper_desktop.app": ("App",),
    "whisper_desktop.backends": ("BackendConfig", "create_backend"),
    "whisper_desktop.discovery": ("LocalLLMDetector",),
    "whisper_desktop.errors": (
        "Interrupted",
        "BackendError",
        "ConsentRequired",
        "EngineError",
        "LLMConnectionError",
        "NetworkBlocked",
        "SecretsError",
        "SettingsError",
        "WhisperError",
    ),
    "whisper_desktop.llm": ("LLMClient",),
    "whisper_desktop.machine": ("detect_resources",),
    "whisper_desktop.values": (
        "Attempt",
        "Completion",
        "Deadlines",
        "ErrorKind",
        "GenerationConfig",
        "GpuInfo",
        "Message",
        "ModelInfo",
        "Provenance",
        "Reach",
        "ResourceInfo",
        "Role",
        "ServerInfo",
        "ServerStatus",
        "SetupGuidance",
        "SetupRecommendation",
        "StreamEvent",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "App",
    "Interrupted",
    "Attempt",
    "BackendConfig",
    "BackendError",
    "Completion",
    "ConsentRequired",
    "Deadlines",
    "EngineError",
    "ErrorKind",
    "GenerationConfig",
    "GpuInfo",
    "LLMClient",
    "LLMConnectionError",
    "LocalLLMDetector",
    "Message",
    "ModelInfo",
    "NetworkBlocked",
    "Provenance",
    "Reach",
    "ResourceInfo",
    "Role",
    "SecretsError",
    "ServerInfo",
    "ServerStatus",
    "SettingsError",
    "SetupGuidance",
    "SetupRecommendation",
    "StreamEvent",
    "WhisperError",
    "create_backend",
    "detect_resources",
    "get_recommended_setup",
    "setup_guidance",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
