"""What this computer has: memory, processor, graphics. One file an operating system and a vendor.

`detect_resources()` is the whole public surface. Files named after a system (`linux`, `macos`, `windows`)
or a vendor (`nvidia`, `linux_gpus`) hold parsers that are pure functions of text; `host` is where files are
read and programs are run; `nvml` and `metal` are loaded in a process of their own, because a vendor's
library may hang or crash and the app must do neither.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_desktop.machine.detect import detect_resources

__all__ = ["detect_resources"]


def __getattr__(name: str) -> object:
    # Late, because the way in asks `machine.display` before anything else is loaded.
    if name == "detect_resources":
        from whisper_desktop.machine.detect import detect_resources

        return detect_resources
    raise AttributeError(name)
