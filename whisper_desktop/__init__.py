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
    from whisper_desktop.backends import Backend, BackendConfig, create_backend
    from whisper_desktop.discovery import LocalLLMDetector
    from whisper_desktop.errors import (
        BackendError,
        ConsentRequired,
        DependencyError,
        EngineError,
        FeatureNotEnabledError,
        Interrupted,
        LLMConnectionError,
        NetworkBlocked,
        SecretsError,
        SettingsError,
        WhisperError,
    )
    from whisper_desktop.llm import AnswerStream, Hook, HookRequest, InferenceEngine, LLMClient, Shared
    from whisper_desktop.machine import detect_resources
    from whisper_desktop.models.registry import ModelRegistry
    from whisper_desktop.values import (
        Attempt,
        Completion,
        Deadlines,
        Embeddings,
        ErrorKind,
        GenerationConfig,
        GpuInfo,
        Image,
        Message,
        ModelInfo,
        ModelType,
        OnInterruption,
        Provenance,
        Reach,
        ResourceInfo,
        Role,
        ServerInfo,
        ServerStatus,
        SetupGuidance,
        SetupRecommendation,
        StreamEvent,
        ToolCall,
        ToolSpec,
        Usage,
    )

__version__ = "0.1.0"

_HOMES = {
    "whisper_desktop.advice": (
        "get_recommended_setup",
        "setup_guidance",
    ),
    "whisper_desktop.app": ("App",),
    "whisper_desktop.backends": (
        "Backend",
        "BackendConfig",
        "create_backend",
    ),
    "whisper_desktop.discovery": ("LocalLLMDetector",),
    "whisper_desktop.errors": (
        "BackendError",
        "ConsentRequired",
        "DependencyError",
        "EngineError",
        "FeatureNotEnabledError",
        "Interrupted",
        "LLMConnectionError",
        "NetworkBlocked",
        "SecretsError",
        "SettingsError",
        "WhisperError",
    ),
    "whisper_desktop.llm": (
        "AnswerStream",
        "Hook",
        "HookRequest",
        "InferenceEngine",
        "LLMClient",
        "Shared",
    ),
    "whisper_desktop.machine": ("detect_resources",),
    "whisper_desktop.models.registry": ("ModelRegistry",),
    "whisper_desktop.values": (
        "Attempt",
        "Completion",
        "Deadlines",
        "Embeddings",
        "ErrorKind",
        "GenerationConfig",
        "GpuInfo",
        "Image",
        "Message",
        "ModelInfo",
        "ModelType",
        "OnInterruption",
        "Provenance",
        "Reach",
        "ResourceInfo",
        "Role",
        "ServerInfo",
        "ServerStatus",
        "SetupGuidance",
        "SetupRecommendation",
        "StreamEvent",
        "ToolCall",
        "ToolSpec",
        "Usage",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AnswerStream",
    "App",
    "Attempt",
    "Backend",
    "BackendConfig",
    "BackendError",
    "Completion",
    "ConsentRequired",
    "Deadlines",
    "DependencyError",
    "Embeddings",
    "EngineError",
    "ErrorKind",
    "FeatureNotEnabledError",
    "GenerationConfig",
    "GpuInfo",
    "Hook",
    "HookRequest",
    "Image",
    "InferenceEngine",
    "Interrupted",
    "LLMClient",
    "LLMConnectionError",
    "LocalLLMDetector",
    "Message",
    "ModelInfo",
    "ModelRegistry",
    "ModelType",
    "NetworkBlocked",
    "OnInterruption",
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
    "Shared",
    "StreamEvent",
    "ToolCall",
    "ToolSpec",
    "Usage",
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
