"""Several test servers in one process.

`python -m tests.servers.many '[{"name": "ollama", "args": ["--fault", "hang"]}, ...]'` prints one JSON list.
"""

import importlib
import json
import sys

from tests.servers.serving import serve_all

if __name__ == "__main__":
    plan = json.loads(sys.argv[1])
    serve_all(
        [(importlib.import_module(f"tests.servers.{each['name']}").SERVER, each["args"]) for each in plan],
        as_list=True,
    )
