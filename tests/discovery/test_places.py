"""Where to look: each place once, however many ways lead there."""

from tests.discovery.looking import NOWHERE
from whisper_desktop.discovery.places import Spot, Unusable, spots, usual_ports
from whisper_desktop.values import IDENTITIES


def never(host: str) -> bool:
    return False


def plan(*given: str, own: str = "", **ports: int) -> tuple[Spot, ...]:
    found, unusable = spots(
        {**NOWHERE, **ports}, (), [(address, None) for address in given], lambda host: host == own
    )
    assert unusable == ()
    return found


def test_both_loopback_addresses_of_every_usual_port_are_asked() -> None:
    found, _ = spots({}, (), (), never)
    ports = {identity.port for identity in IDENTITIES.values() if identity.port}
    assert ports <= {spot.port for spot in found}
    assert len({spot.port for spot in found}) == len(found)
    for spot in found:
        assert [way.root for way in spot.ways] == [
            f"http://127.0.0.1:{spot.port}",
            f"http://[::1]:{spot.port}",
        ]


def test_a_moved_server_is_looked_for_at_its_new_port_only() -> None:
    ports = usual_ports({"lm_studio": 4321})
    assert 4321 in ports
    assert 1234 not in ports
    assert 0 not in usual_ports({"ollama": 0})
    assert 11434 not in usual_ports({"ollama": 0})


def test_a_given_address_is_asked_where_it_says_and_reported_as_it_was_written() -> None:
    (spot,) = plan("http://localhost:1234/v1/")
    assert [way.root for way in spot.ways] == ["http://127.0.0.1:1234", "http://[::1]:1234"]
    assert {way.url for way in spot.ways} == {"http://localhost:1234"}
    assert {way.given_path for way in spot.ways} == {"/v1"}
    assert all(way.is_given for way in spot.ways)


def test_one_port_of_this_computer_is_one_place_by_whatever_names() -> None:
    (spot,) = plan("localhost:1234", "127.0.0.1:1234", "[::1]:1234", "0.0.0.0:1234", lm_studio=1234)
    assert len(spot.ways) == 2
    (given_v6,) = plan("[::1]:1234", lm_studio=1234)
    assert [way.root for way in given_v6.ways] == ["http://127.0.0.1:1234", "http://[::1]:1234"]
    (only_v4,) = plan("127.0.0.1:1234", lm_studio=1234)
    assert [way.is_given for way in only_v4.ways] == [True, False]


def test_this_computers_address_in_the_network_is_tried_over_loopback_first() -> None:
    (spot,) = plan("http://192.168.1.5:1234", own="192.168.1.5", lm_studio=1234)
    assert [way.root for way in spot.ways] == [
        "http://127.0.0.1:1234",
        "http://[::1]:1234",
        "http://192.168.1.5:1234",
    ]
    assert all(way.is_given for way in spot.ways)


def test_another_computers_server_is_another_place() -> None:
    here, there = plan("192.168.1.9:11434", ollama=11434)
    assert [way.root for way in there.ways] == ["http://192.168.1.9:11434"]
    assert len(here.ways) == 2
    assert len(plan("192.168.1.9:11434", "http://192.168.1.9:11434/")) == 1


def test_the_servers_root_is_found_in_an_address_with_an_api_path() -> None:
    for written, root in (
        ("https://host.example/api/v1", "https://host.example"),
        ("https://host.example/proxy/v1", "https://host.example/proxy"),
        ("http://host.example:12434/engines/llama.cpp/v1", "http://host.example:12434"),
        ("https://host.example/openai", "https://host.example/openai"),
    ):
        (spot,) = plan(written)
        assert spot.ways[0].root == root


def keyed_plan(given: tuple[str, ...], *keyed: str) -> tuple[Spot, ...]:
    found, _ = spots({**NOWHERE, "lm_studio": 1234}, (), [(each, None) for each in given], never, keyed)
    return found


def test_an_address_that_only_has_a_key_is_asked_and_counts_as_found() -> None:
    here, there = keyed_plan((), "http://127.0.0.1:1234", "http://192.168.1.9:8000")
    assert [(way.is_given, way.has_key) for way in here.ways] == [(False, True), (False, False)]
    assert [(way.is_given, way.has_key) for way in there.ways] == [(False, True)]


def test_a_key_takes_nothing_from_an_address_that_was_given() -> None:
    here, there = keyed_plan(
        ("127.0.0.1:1234", "http://192.168.1.9:8000/v1"), "http://127.0.0.1:1234", "http://192.168.1.9:8000"
    )
    assert [way.is_given for way in here.ways] == [True, False]
    assert [(way.is_given, way.given_path) for way in there.ways] == [(True, "/v1")]


def test_an_address_that_is_none_is_kept_apart_with_its_reason() -> None:
    found, unusable = spots(NOWHERE, (), [("http://", None), ("nonsense nonsense", "ollama")], never)
    assert found == ()
    assert [(each.text, each.expected) for each in unusable] == [
        ("http://", None),
        ("nonsense nonsense", "ollama"),
    ]
    assert all(isinstance(each, Unusable) and str(each.error) for each in unusable)
