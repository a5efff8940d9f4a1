"""The JSON shapes of `--json`. They are a promise: fields are added, never renamed or removed."""

from collections.abc import Sequence
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from whisper_desktop.chat import SetAside, failure_of
from whisper_desktop.errors import BackendError, ConsentRequired, Interrupted, WhisperError
from whisper_desktop.values import (
    Attempt,
    Completion,
    EngineStatus,
    ModelInfo,
    Provenance,
    Repair,
    ResourceInfo,
    ServerInfo,
    SetupRecommendation,
)

if TYPE_CHECKING:
    from whisper_desktop.settings import LoadedSettings

Json = dict[str, Any]


def detect_shape(servers: Sequence[ServerInfo], elapsed_seconds: float) -> Json:
    """`detect --json`."""
    return {
        "servers": [_server(server) for server in servers],
        "elapsed_ms": round(elapsed_seconds * 1000, 1),
    }


def _server(server: ServerInfo) -> Json:
    return {
        "id": server.id,
        "name": server.name,
        "url": server.url,
        "status": server.status.value,
        "version": server.version,
        "latency_ms": None if server.latency_ms is None else round(server.latency_ms, 1),
        "reach": server.reach.value if server.reach else None,
        "detail": server.detail,
        "models": [_model(model) for model in server.models],
    }


def _model(model: ModelInfo) -> Json:
    return {
        "id": model.id,
        "loaded": model.loaded,
        "context_length": model.context_length,
        "size_bytes": model.size_bytes,
        "remote": model.remote,
        "capabilities": list(model.capabilities),
    }


def machine_shape(resources: ResourceInfo) -> Json:
    """`machine --json`."""
    return {
        "os": {"name": resources.os_name, "version": resources.os_version, "arch": resources.arch},
        "cpu": {
            "name": resources.cpu_name,
            "cores_physical": resources.cores_physical,
            "cores_logical": resources.cores_logical,
            "features": list(resources.cpu_features),
        },
        "ram": {
            "total_bytes": resources.ram_total_bytes,
            "available_bytes": resources.ram_available_bytes,
            "installed_bytes": resources.ram_installed_bytes,
            "container_limit_bytes": resources.container_limit_bytes,
        },
        "gpus": [
            {
                "vendor": gpu.vendor,
                "name": gpu.name,
                "total_bytes": gpu.total_bytes,
                "free_bytes": gpu.free_bytes,
                "unified": gpu.unified,
                "driver": gpu.driver,
                "source": gpu.source,
            }
            for gpu in resources.gpus
        ],
        "has_display": resources.has_display,
        "warnings": list(resources.warnings),
    }


def recommend_shape(advice: SetupRecommendation) -> Json:
    """`recommend --json`."""
    return {
        "preferred_server": advice.preferred_server,
        "recommended_models": list(advice.recommended_models),
        "ready_model": advice.ready_model,
        "setup_url": advice.setup_url,
        "memory_note": advice.memory_note,
        "reasons": list(advice.reasons),
        "steps": list(advice.steps),
        "download_links": [{"title": link.title, "url": link.url} for link in advice.download_links],
        "alternatives": [
            {"server": other.server, "model": other.model, "reason": other.reason}
            for other in advice.alternatives
        ],
    }


def completion_shape(completion: Completion, set_aside: Sequence[SetAside] = ()) -> Json:
    """`chat --json`. `set_aside` is what was said before somebody else began the answer anew."""
    return {
        "text": completion.text,
        "reasoning": completion.reasoning,
        "finish_reason": completion.finish_reason,
        "usage": {
            "prompt_tokens": completion.usage.prompt_tokens,
            "completion_tokens": completion.usage.completion_tokens,
            "cached_prompt_tokens": completion.usage.cached_prompt_tokens,
            "reasoning_tokens": completion.usage.reasoning_tokens,
            "cost_usd": completion.usage.cost_usd,
        },
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in completion.tool_calls
        ],
        "seams": list(completion.seams),
        "set_aside": [
            {"text": aside.text, "reasoning": aside.reasoning, "attempt": _attempt(aside.failed)}
            for aside in set_aside
        ],
        "provenance": _provenance(completion.provenance),
    }


def _provenance(provenance: Provenance) -> Json:
    return {
        "backend": provenance.backend,
        "server_name": provenance.server_name,
        "url": provenance.url,
        "model": provenance.model,
        "reach": provenance.reach.value,
        "as_given": provenance.as_given,
        "reason": provenance.reason,
        "ttft_seconds": provenance.ttft_seconds,
        "total_seconds": provenance.total_seconds,
        "tokens_per_second": provenance.tokens_per_second,
        "attempts": [_attempt(attempt) for attempt in provenance.attempts],
    }


def _attempt(attempt: Attempt) -> Json:
    return {
        "backend": attempt.backend,
        "server_name": attempt.server_name,
        "url": attempt.url,
        "model": attempt.model,
        "kind": attempt.kind.value if attempt.kind else None,
        "detail": attempt.detail,
        "seconds": attempt.seconds,
        "status": attempt.status,
        "skipped": attempt.skipped,
    }


def engine_shape(status: EngineStatus | None) -> Json:
    """`engine status --json`."""
    if status is None:
        return {
            "engine": "builtin",
            "state": "stopped",
            "model": None,
            "url": None,
            "pid": None,
            "memory_bytes": None,
            "detail": "The engine is not running.",
            "cause": "",
            "repairs": [],
            "warning": "",
            "progress": None,
            "restart_in": None,
            "tokens_per_second": None,
        }
    return {
        "engine": status.engine,
        "state": status.state.value,
        "model": status.model,
        "url": status.url,
        "pid": status.pid,
        "memory_bytes": status.memory_bytes,
        "detail": status.detail,
        "cause": status.cause,
        "repairs": [_repair(repair) for repair in status.repairs],
        "warning": status.warning,
        "progress": status.progress,
        "restart_in": status.restart_in,
        "tokens_per_second": status.tokens_per_second,
    }


def _repair(repair: Repair) -> Json:
    return {
        "id": repair.id,
        "label": repair.label,
        "detail": repair.detail,
        "change": repair.change,
        "command": repair.command,
    }


def repaired_shape(repair: str | None, status: EngineStatus | None) -> Json:
    """`engine repair REPAIR --json`: what was accepted, null where nothing was to be repaired."""
    return {"repaired": repair, "engine": engine_shape(status)}


def repairs_shape(repairs: Sequence[Repair], accepted: Sequence[str]) -> Json:
    """`engine repair --json`: what is offered, and what was accepted for this model."""
    return {"repairs": [_repair(repair) for repair in repairs], "accepted": list(accepted)}


def slept_shape(freed: bool) -> Json:
    """`engine sleep --json`: false when nothing could be freed."""
    return {"freed": freed}


def stopped_shape(stopped: bool) -> Json:
    """`engine stop --json`: false when none was running."""
    return {"stopped": stopped}


def log_shape(lines: Sequence[str]) -> Json:
    """`engine logs --json`, oldest line first."""
    return {"lines": list(lines)}


def key_kept_shape(origin: str, explanation: str) -> Json:
    """`keys set --json`."""
    return {"origin": origin, "stored": explanation}


def keys_shape(origins: Sequence[str], explanation: str) -> Json:
    """`keys list --json`. Never a key."""
    return {"origins": list(origins), "store": explanation}


def key_removed_shape(origin: str, removed: bool) -> Json:
    """`keys remove --json`: false when there was none."""
    return {"origin": origin, "removed": removed}


def settings_shape(loaded: "LoadedSettings") -> Json:
    """`config show --json`: every value, the layer it comes from, and what could not be used."""
    return {
        "settings": {
            key: {"value": _plain(loaded.get(key)), "source": source.value}
            for key, source in loaded.sources.items()
        },
        "problems": [
            {
                "key": problem.key,
                "where": problem.where,
                "title": problem.title,
                "detail": problem.detail,
                "next_step": problem.next_step,
            }
            for problem in loaded.problems
        ],
    }


def setting_shape(key: str, value: object) -> Json:
    """`config set --json`."""
    return {"key": key, "value": _plain(value)}


def paths_shape(config: str, choices: str) -> Json:
    """`config path --json`."""
    return {"config": config, "choices": choices}


def doctor_shape(healthy: bool, checks: Sequence[tuple[str, bool | None, str, str]]) -> Json:
    """`doctor --json`; a check whose `ok` is null is worth knowing and no fault."""
    return {
        "healthy": healthy,
        "checks": [
            {"name": name, "ok": ok, "detail": detail, "next_step": next_step}
            for name, ok, detail, next_step in checks
        ],
    }


def _plain(value: object) -> object:
    """A setting's value as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, PurePath) else value


def error_shape(error: WhisperError) -> Json:
    """What every command prints with `--json` when it fails."""
    told: Json = {
        "type": type(error).__name__,
        "title": error.title,
        "detail": error.detail,
        "next_step": error.next_step,
    }
    if (kind := getattr(error, "kind", None)) is not None:
        told["kind"] = kind.value
        told["attempts"] = [_attempt(attempt) for attempt in failure_of(error).attempts]
    if isinstance(error, Interrupted):
        told["partial_text"] = error.partial_text
    if isinstance(error, BackendError):
        told["status"], told["retry_after"] = error.status, error.retry_after
    if isinstance(error, ConsentRequired):
        told["needed"] = error.needed.value if error.needed else None
    if repairs := failure_of(error).repairs:
        told["repairs"] = [_repair(repair) for repair in repairs]
    if (guidance := failure_of(error).guidance) is not None:
        told["setup_guidance"] = {
            "headline": guidance.headline,
            "steps": list(guidance.steps),
            "links": [{"title": link.title, "url": link.url} for link in guidance.links],
            "offer_guide": guidance.offer_guide,
        }
    return {"error": told}
