"""How a file of this room is run as a program of its own: see `nvml` and `metal` for why."""

import sys
from pathlib import Path

FLAG = "--machine-child"
"""What a frozen build, which has no Python to run a file with, is started with: `<program> --machine-child
nvml`.
"""


def own_child(name: str) -> tuple[str, ...]:
    """The command that runs `<name>.py` of this room.

    -P keeps the file's own folder off the import path.
    """
    if getattr(sys, "frozen", False):
        return (sys.executable, FLAG, name)
    return (sys.executable, "-P", str(Path(__file__).with_name(f"{name}.py")))


def main(name: str) -> int:
    """What `--machine-child NAME` runs in a frozen build."""
    if name == "nvml":
        from whisper_desktop.machine import nvml

        return nvml.main()
    from whisper_desktop.machine import metal

    return metal.main()
