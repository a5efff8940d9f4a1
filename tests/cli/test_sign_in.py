"""`keys sign-in`: the browser is another program; here, a script that follows the address."""

import urllib.request
from pathlib import Path

from tests.cli.program import Program
from tests.servers.fixtures import ServerFactory

KEY = "sk-or-v1-0123456789abcdef0123"


def test_signing_in_prints_the_address_and_says_that_a_key_without_a_keyring_is_lost(
    program: Program, servers: ServerFactory, tmp_path: Path
) -> None:
    server = servers("openrouter", "--issued-key", KEY)
    env = {"WHISPER_LLM__OPENROUTER__BASE_URL": server.url, "BROWSER": "true %s"}
    talk = program.terminal("keys", "sign-in", env=env)
    talk.expect("Ctrl-C calls it off:")
    address = ""
    while not address.endswith("code_challenge_method=S256"):
        address = talk.expect("code_challenge_method=S256").replace("\r\n", "").strip()
    with urllib.request.urlopen(address) as page:
        assert "You can close this page." in page.read().decode()
    talk.expect(f"The key for {server.url} was not kept.")
    talk.rest()
    assert KEY not in talk.seen
    assert talk.wait() == 1
