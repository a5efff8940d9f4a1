"""`systemctl --user start ollama`: starts the service, which then lives on its own.

    systemctl.py HOME --user start ollama

Behaviour: `refuse` ({"systemctl": text}).
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.servers.programs import behaviour, detach, note_call


def main(argv: list[str]) -> int:
    """Starts it."""
    home = Path(argv[0])
    note_call(home, ["systemctl", *argv[1:]])
    refused = behaviour(home).get("refuse", {})
    if "systemctl" in refused:
        print(refused["systemctl"], file=sys.stderr)
        return 5
    os.environ["OLLAMA_HOST"] = str(behaviour(home)["host"])
    detach(home, "ollama_program.py", "serve")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
