"""The chain: finds a backend that answers, within the reach that is allowed, and says which one did."""

from whisper_desktop.llm.client import GuideClient, LLMClient
from whisper_desktop.llm.hooks import Hook, HookRequest
from whisper_desktop.llm.inference import InferenceEngine
from whisper_desktop.llm.shared import Shared
from whisper_desktop.llm.stream import AnswerStream

__all__ = ["AnswerStream", "GuideClient", "Hook", "HookRequest", "InferenceEngine", "LLMClient", "Shared"]
