"""What people type as an address, how far it is, and the tricks that must not make it look nearer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.errors import SettingsError
from whisper_desktop.values import Reach
from whisper_desktop.wire.address import normalise_url, origin, parse_url, reach_of, reach_of_ip


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("127.0.0.1:1234", "http://127.0.0.1:1234"),
        (" http://127.0.0.1:1234/ ", "http://127.0.0.1:1234"),
        ("'localhost:11434/'", "http://localhost:11434"),
        ("LOCALHOST:11434", "http://localhost:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://[::]:8080", "http://[::1]:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("http://127.0.0.1:1234/v1/", "http://127.0.0.1:1234/v1"),
        ("http://127.0.0.1:1234/v1/chat/completions", "http://127.0.0.1:1234/v1"),
        ("http://127.0.0.1:1234/v1/models", "http://127.0.0.1:1234/v1"),
        ("http://1.2.3.4:80", "http://1.2.3.4"),
        ("https://example.com:443/api", "https://example.com/api"),
        ("example.com", "https://example.com"),
        ("example.com:8000", "http://example.com:8000"),
        ("nas:5000", "http://nas:5000"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("http://[0:0:0:0:0:0:0:1]:1", "http://[::1]:1"),
    ],
)
def test_what_a_person_types_becomes_a_usable_address(typed: str, url: str) -> None:
    assert normalise_url(typed) == url
    assert normalise_url(url) == url


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "1234",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://127.0.0.1:port",
        "http://user:secret@127.0.0.1",
        "http://127.0.0.1/a b",
        "http://127.0.0.1\\@example.com",
        "http://300.1.1.1",
        "http://127.1",
        "http://2130706433",
        "http://１２７.0.0.1",
        "http://exa mple.com",
        "http://[::1",
        "http://[nonsense]:1",
        "http://-x.example",
        "http://127.0.0.1/v1?api-version=1",
        "x" * 5000,
    ],
)
def test_what_cannot_be_used_is_told_in_three_parts(typed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        normalise_url(typed)
    error = caught.value
    assert error.title
    assert error.detail
    assert error.next_step
    assert "secret" not in str(error)
    assert len(str(error)) < 400


KEY = "sk-SECRETSECRET1"


@pytest.mark.parametrize(
    "typed",
    [
        KEY,
        f"http://{KEY}/",
        f"http://{KEY}@127.0.0.1/",
        f"http://127.0.0.1/v1/{KEY}",
        f"http://127.0.0.1/v1?key={KEY}",
        f"http://127.0.0.1/v1?x=secret&y=http://a@b/{KEY}",
        "http://127.0.0.1/v1?key=secret",
        "http://127.0.0.1/?secret@x",
        f"ftp://127.0.0.1/{KEY}",
        "http://secret_" + "x" * 40 + "!/",
    ],
)
def test_a_key_in_an_address_is_neither_used_nor_repeated(typed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        normalise_url(typed)
    assert "secret" not in str(caught.value).lower()


def test_names_that_only_begin_like_a_key_are_addresses() -> None:
    assert normalise_url("http://sk-learning-cluster.lan:8000") == "http://sk-learning-cluster.lan:8000"


@pytest.mark.parametrize(
    ("url", "reach"),
    [
        ("http://127.0.0.1:1", Reach.THIS_MACHINE),
        ("http://127.9.9.9", Reach.THIS_MACHINE),
        ("http://localhost:1", Reach.THIS_MACHINE),
        ("http://localhost.:1", Reach.THIS_MACHINE),
        ("http://app.localhost:1", Reach.THIS_MACHINE),
        ("http://[::1]:1", Reach.THIS_MACHINE),
        ("http://[::ffff:127.0.0.1]", Reach.THIS_MACHINE),
        ("127.0.0.1:1234", Reach.THIS_MACHINE),
        ("http://10.1.2.3", Reach.MY_NETWORK),
        ("http://172.31.0.1", Reach.MY_NETWORK),
        ("http://192.168.178.20:8000/v1", Reach.MY_NETWORK),
        ("http://169.254.1.1", Reach.MY_NETWORK),
        ("http://[fe80::1]", Reach.MY_NETWORK),
        ("http://[fd00::1]", Reach.MY_NETWORK),
        ("http://nas", Reach.MY_NETWORK),
        ("http://nas.local", Reach.MY_NETWORK),
        ("http://nas.lan.", Reach.MY_NETWORK),
        ("http://nas.home.arpa", Reach.MY_NETWORK),
        ("http://172.32.0.1", Reach.CLOUD),
        ("http://100.64.0.1", Reach.CLOUD),
        ("http://[::ffff:8.8.8.8]", Reach.CLOUD),
        ("http://[2001:db8::1]", Reach.CLOUD),
        ("https://openrouter.ai/api/v1", Reach.CLOUD),
        ("http://localhost.example.com", Reach.CLOUD),
        ("http://127.0.0.1.example.com", Reach.CLOUD),
        ("http://127.0.0.1.nip.io", Reach.CLOUD),
        ("http://local", Reach.MY_NETWORK),
        ("http://evil.com#.local", Reach.CLOUD),
    ],
)
def test_reach_is_what_the_address_says(url: str, reach: Reach) -> None:
    assert reach_of(url) is reach


@pytest.mark.parametrize("text", ["", "not an address", "999.1.1.1"])
def test_a_resolved_address_that_cannot_be_read_counts_as_far(text: str) -> None:
    assert reach_of_ip(text) is Reach.CLOUD


def test_the_origin_is_scheme_host_and_port_without_the_rest() -> None:
    assert origin("https://Example.com:443/api/v1?x=1") == "https://example.com"
    assert origin("http://127.0.0.1:1234/v1") == "http://127.0.0.1:1234"
    assert origin("http://example.com") != origin("https://example.com")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_kind_error(text: str) -> None:
    try:
        url = normalise_url(text)
    except SettingsError:
        return
    assert normalise_url(url) == url
    assert parse_url(url).url == url
    assert url.isascii()
