"""`InferenceEngine`: many questions at once, in turn, with figures about all of them."""

import asyncio
from collections.abc import Mapping, Sequence

from whisper_desktop.errors import WhisperError
from whisper_desktop.llm.client import LLMClient
from whisper_desktop.llm.messages import Prompt
from whisper_desktop.llm.metrics import ActiveRequest, PerformanceStats
from whisper_desktop.llm.stream import AnswerStream
from whisper_desktop.values import Completion, GenerationConfig, Message


class InferenceEngine:
    """Asks a client's chain for text, one by one, in a batch, or as a stream.

    How many answers are generated at once is the client's `Shared` to bound: over all backends (`at_once`, 10
    by itself), and for each backend as many as its server has slots. Who waits is served in
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

        One failure does not sink the rest; a prompt that cannot be asked at all raises before any is sent.
        Cancelling ends all of them. A `timeout` counts from now for each of them: who waits for a place is
        losing time.
        """
        if isinstance(prompts, str | Message | Mapping):
            raise TypeError(f"A batch must be a list of prompts, not {type(prompts).__name__}.")
        given: Mapping[str, object] = {"batch": True, **options}
        streams = [self._client.stream(prompt, config, **given) for prompt in prompts]  # type: ignore[arg-type]

        async def answer(stream: AnswerStream) -> Completion | WhisperError:
            try:
                return await stream.whole()
            except WhisperError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer(stream)) for stream in streams]
        return [task.result() for task in tasks]

    def get_active_requests(self) -> tuple[ActiveRequest, ...]:
        """The questions that are being answered now, oldest first."""
        return self._client.shared.metrics.active()

    def get_performance_stats(self) -> PerformanceStats:
        """Figures since the start: counts, times to the first token, speeds, breakers, failovers, costs."""
        return self._client.shared.stats()
