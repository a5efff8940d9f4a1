#!/usr/bin/env python3
"""The project's two commands and their helpers: `run`, `test`, `check`, `bench`, `chaos`, `fuzz`,
`llama-server`.

This file only refuses an old Python, so it must stay readable for one: no newer syntax here. The work is in
the `dev_*.py` files beside it. They need nothing but the standard library.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the sentence below is for exactly those who have an older one
    sys.stderr.write(
        "Whisper Desktop needs Python 3.11 or newer and this is Python %d.%d: start it with a newer one, "  # noqa: UP031
        "for example `python3.12 packaging/dev.py run`.\n" % sys.version_info[:2]
    )
    sys.exit(2)

from dev_verbs import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
