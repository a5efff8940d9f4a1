"""LM Studio's AppImage: needs FUSE, a display that lets it in, and, run by root, to be told not to mind.

    appimage.py HOME OPTIONS...

Behaviour: `no_fuse`, `unpacks` (false: unpacking fails), `library` (one that is missing), `dies` (text with
which it ends), and that of `studio`.
"""

import os
import shutil
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.servers.programs import HERE, behaviour, note_call
from tests.servers.programs.studio import Studio

NO_FUSE = """dlopen(): error loading libfuse.so.2

AppImages require FUSE to run.
You might still be able to extract the contents of this AppImage
if you run it with the --appimage-extract option.
See https://github.com/AppImage/AppImageKit/wiki/FUSE
for more information"""
NO_DISPLAY = """[7:1121/181512.501:ERROR:ozone_platform_x11.cc(240)] Missing X server or $DISPLAY
[7:1121/181512.502:ERROR:env.cc(255)] The platform failed to initialize.  Exiting."""
NO_SANDBOX = "Running as root without --no-sandbox is not supported. See https://crbug.com/638180."


def main(argv: list[str]) -> int:
    """Runs as far as it gets."""
    home, options = Path(argv[0]), argv[1:]
    script = behaviour(home)
    is_unpacked = "STAND_IN_UNPACKED" in os.environ
    note_call(home, ["unpacked" if is_unpacked else "appimage", *options])
    if options == ["--appimage-extract"]:
        return unpack(home) if script.get("unpacks", True) else 1
    if script.get("no_fuse") and not is_unpacked:
        print(NO_FUSE, file=sys.stderr)
        return 127
    if "library" in script:
        missing = "cannot open shared object file: No such file or directory"
        print(f"lm-studio: error while loading shared libraries: {script['library']}: {missing}")
        return 127
    if os.getuid() == 0 and "--no-sandbox" not in options:
        print(NO_SANDBOX, file=sys.stderr)
        return 1
    if not opens_display(os.environ.get("DISPLAY", ""), Path(os.environ.get("XAUTHORITY", ""))):
        print(NO_DISPLAY, file=sys.stderr)
        return 1
    if "dies" in script:
        print(script["dies"], file=sys.stderr)
        return 1
    note_call(home, ["display", os.environ["DISPLAY"]])
    Studio(home, is_daemon=False).run()
    return 0


def unpack(home: Path) -> int:
    """`--appimage-extract`: into `squashfs-root` where it runs, naming each file."""
    program = Path("squashfs-root", "AppRun")
    program.parent.mkdir()
    command = f'exec env STAND_IN_UNPACKED=1 "{sys.executable}" -S -E "{HERE / "appimage.py"}" "{home}" "$@"'
    program.write_text(f"#!/bin/sh\n{command}\n")
    program.chmod(0o755)
    shutil.copy(__file__, program.parent / "lm-studio")
    for name in ("squashfs-root", program, "squashfs-root/lm-studio"):
        print(name)
    return 0


def opens_display(display: str, authority: Path) -> bool:
    """Whether an X server lets us in with the first cookie of a file, if it has one: X11's connection
    setup.
    """
    if not display:
        return False
    name, cookie = read_cookie(authority)
    padded = [part + b"\0" * (-len(part) % 4) for part in (name, cookie)]
    order = b"l" if sys.byteorder == "little" else b"B"
    hello = struct.pack("=cxHHHHxx", order, 11, 0, len(name), len(cookie)) + b"".join(padded)
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(f"/tmp/.X11-unix/X{display.lstrip(':').split('.')[0]}")
        except OSError:
            return False
        connection.sendall(hello)
        return connection.recv(1) == b"\x01"


def read_cookie(authority: Path) -> tuple[bytes, bytes]:
    """The protocol and the cookie of the first entry; empty where the file has none."""
    try:
        data = authority.read_bytes()
        entry, at = [], 2
        for _ in ("address", "number", "name", "cookie"):
            (length,) = struct.unpack_from(">H", data, at)
            entry.append(data[at + 2 : at + 2 + length])
            at += 2 + length
    except (OSError, struct.error):
        return b"", b""
    return entry[2], entry[3]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
