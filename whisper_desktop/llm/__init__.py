"""The chain: finds a backend that answers, within the reach that is allowed, and says which one did."""

from whisper_desktop.llm.client import GuideClient, LLMClient

__all__ = ["GuideClient", "LLMClient"]
