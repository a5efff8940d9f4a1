"""What is loaded before the tray icon is on the screen: Qt's three modules and little else."""

import subprocess
import sys

LATE = (
    "asyncio",
    "qasync",
    "httpx",
    "aiohttp",
    "pydantic",
    "yaml",
    "keyring",
    "psutil",
    "markdown_it",
    "jeepney",
    "Xlib",
    "pygments",
    "whisper_desktop.app",
    "whisper_desktop.control",
    "whisper_desktop.ui.desktop",
)


def test_nothing_heavy_is_imported_before_the_icon() -> None:
    program = (
        "import sys; import whisper_desktop.__main__; import whisper_desktop.ui.main; "
        "import whisper_desktop.ui.tray.tray; print(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert not set(LATE) & set(done.stdout.split())
