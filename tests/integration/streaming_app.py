"""A program for the chaos tests: an app that lets the guide talk for a long time, and says when it does.

Prints the engine's process id once tokens flow, then goes on until it is killed.
"""

import asyncio
from contextlib import aclosing

from whisper_desktop.app import App
from whisper_desktop.values import GenerationConfig, Message, Reach, Role, TextDelta


async def main() -> None:
    app = App()
    await app.start()
    engine = app.host.guide(app.loaded.settings.llm)
    address = await engine.ensure_ready()
    from whisper_desktop.backends import BackendConfig, create_backend

    config = BackendConfig("guide", "Guide", model="guide", reach=Reach.THIS_MACHINE)
    backend = create_backend(config, http=app.http, engine=engine, deadlines=app.deadlines)
    endless = GenerationConfig(max_tokens=10_000_000, extra={"ignore_eos": True})
    told = False
    while True:
        stream = backend.generate_stream([Message(Role.USER, "Hello")], endless)
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, TextDelta) and not told:
                    told = True
                    print(engine.status().pid, address.url, flush=True)


asyncio.run(main())
