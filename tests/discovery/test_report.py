"""Whether two ways lead to the same server."""

from dataclasses import replace

from whisper_desktop.discovery.report import is_same
from whisper_desktop.values import ModelInfo, ServerInfo, ServerStatus

OLLAMA = ServerInfo(
    "ollama",
    "Ollama",
    "http://127.0.0.1:11434",
    ServerStatus.AVAILABLE,
    version="0.33.0",
    models=(ModelInfo("a"), ModelInfo("b")),
)


def test_the_same_server_over_two_addresses_is_the_same() -> None:
    assert is_same(OLLAMA, replace(OLLAMA, url="http://[::1]:11434", latency_ms=3.0))


def test_a_list_that_did_not_arrive_proves_nothing() -> None:
    assert is_same(OLLAMA, replace(OLLAMA, models=()))


def test_another_product_version_or_list_is_another_server() -> None:
    assert not is_same(OLLAMA, replace(OLLAMA, id="llama_cpp"))
    assert not is_same(OLLAMA, replace(OLLAMA, version="0.34.0"))
    assert not is_same(OLLAMA, replace(OLLAMA, models=(ModelInfo("a"), ModelInfo("c"))))
