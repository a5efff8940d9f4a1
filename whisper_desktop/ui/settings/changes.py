"""What the settings window does on the core. No Qt."""

import asyncio
from typing import TYPE_CHECKING

from whisper_desktop.settings import SettingInfo, example_config, forget, paths

if TYPE_CHECKING:
    from whisper_desktop.app import App


async def back_to_default(app: "App", info: SettingInfo) -> None:
    """Take back what was chosen here; where config.yaml says something else, the default is chosen."""
    await asyncio.to_thread(forget, info.key)
    await app.reload()
    if app.loaded.get(info.key) != info.default:
        await app.remember({info.key: info.default})


async def config_file() -> str:
    """The path of config.yaml; where there is none yet, one with every setting explained is put there."""
    return await asyncio.to_thread(_config_file)


def _config_file() -> str:
    file = paths.config_dir() / paths.CONFIG_FILE
    if not file.exists():
        with file.open("x", encoding="utf-8") as new:
            new.write(example_config())
    return str(file)
