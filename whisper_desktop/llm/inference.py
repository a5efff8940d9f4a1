"""`InferenceEngine`: many questions at once, in turn, with figures about all of them."""

import asyncio
from collections.abc import Mapping, Sequence

from whisper_desktop.errors import WhisperError
from whisper_desktop.llm.client import AnswerStream, LLMClient
from whisper_desktop.llm.messages import MessageLike
from whisper_desktop.llm.metrics import ActiveRequest, PerformanceStats
from whisper_desktop.values import Completion, GenerationConfig

Prompt = str | Sequence[MessageLike]


class InferenceEngine:
    """Asks a client's chain for text, one by one, in a batch, or as a stream.

    How many answers are generated at once is the client's `Shared` to bound: over all backends (`at_once`, 10
    where the app makes it), and for each backend as many as its server has slots. Who waits is served in
    order, people at a screen before batches.
    """

    def __init__(self, client: LLMClient) -> None:
        self._client = client

    async def generate_text(
        self, prompt: Prompt, config: GenerationConfig | None = None, **options: object
    ) -> Completion:
        """One whole answer. Raises as `LLMClient` does."""
        return await self._client.chat_completion(prompt, config, **options)  # type: ignore[arg-type]

    def generate_stream(
        self, prompt: Prompt, config: GenerationConfig | None = None, **options: object
    ) -> AnswerStream:
        """One answer, piece by piece. Use it with `async with`."""
        return self._client.stream(prompt, config, **options)  # type: ignore[arg-type]

    async def generate_batch(
        self, prompts: Sequence[Prompt], config: GenerationConfig | None = None, **options: object
    ) -> list[Completion | WhisperError]:
        """An answer, or the error in its place, for each prompt, in their order.

        One failure does not sink the rest. Cancelling ends all of them.
        """
        given: Mapping[str, object] = {"batch": True, **options}

        async def one(prompt: Prompt) -> Completion | WhisperError:
            try:
                return await self._client.chat_completion(prompt, config, **given)  # type: ignore[arg-type]
            except WhisperError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(prompt)) for prompt in prompts]
        return [task.result() for task in tasks]

    def get_active_requests(self) -> tuple[ActiveRequest, ...]:
        """The questions that are being answered now, oldest first."""
        return self._client.shared.metrics.active()

    def get_performance_stats(self) -> PerformanceStats:
        """Figures since the start: counts, times to the first token, speeds, breakers, failovers, costs."""
        return self._client.shared.stats()
