"""Messages form a tree, whatever a file says, and walking in it stays fast."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_desktop.chat.records import Node
from whisper_desktop.chat.tree import Tree, mended
from whisper_desktop.values import Role


def node(name: str, parent: str | None = None) -> Node:
    return Node(name, parent, Role.USER, name, 0.0)


def family() -> Tree:
    """a has the children b and c; below b is d, below c are e and, newest of all, f."""
    return Tree([node("a"), node("b", "a"), node("c", "a"), node("d", "b"), node("e", "c"), node("f", "c")])


def test_a_path_leads_from_the_first_message_to_the_one_asked_for() -> None:
    tree = family()
    assert tree.path_to("d") == ("a", "b", "d")
    assert tree.path_to(None) == ()
    assert tree.children("c") == ("e", "f")
    assert tree.siblings("c") == ("b", "c")
    assert tree.siblings("a") == ("a",)


def test_the_newest_below_is_the_one_that_was_written_last_and_not_the_deepest() -> None:
    tree = family()
    assert tree.newest_below("a") == "f"
    assert tree.newest_below("b") == "d"
    tree.put(node("g", "d"))
    assert tree.newest_below("a") == "g"
    assert tree.newest() == "g"


def test_a_newer_value_takes_the_place_of_the_old_one_and_keeps_its_children() -> None:
    tree = family()
    tree.put(Node("b", "a", Role.USER, "otherwise", 0.0))
    assert tree["b"].text == "otherwise"
    assert tree.children("b") == ("d",)
    assert tree.siblings("b") == ("b", "c")


def test_what_is_removed_takes_along_what_is_below_and_nothing_else() -> None:
    tree = family()
    assert set(tree.remove("c")) == {"c", "e", "f"}
    assert list(tree.nodes) == ["a", "b", "d"]
    assert tree.children("a") == ("b",)
    assert tree.newest_below("a") == "d"
    with pytest.raises(KeyError):
        tree.children("c")


def test_unknown_messages_are_said_to_be_unknown() -> None:
    tree = family()
    for ask in (tree.newest_below, tree.path_to, tree.children, tree.siblings, tree.remove):
        with pytest.raises(KeyError):
            ask("nobody")


def test_a_message_whose_parent_is_missing_begins_a_branch_of_its_own() -> None:
    nodes = mended([node("a"), node("b", "lost"), node("c", "b")])
    assert Tree(nodes).path_to("c") == ("b", "c")


def test_messages_that_are_below_themselves_are_cut_open_once_and_none_is_lost() -> None:
    nodes = mended([node("a", "c"), node("b", "a"), node("c", "b"), node("self", "self")])
    assert len([each for each in nodes if each.parent is None]) == 2
    assert {each.id for each in nodes} == {"a", "b", "c", "self"}
    assert Tree(nodes).path_to("a") == ("b", "c", "a")


def test_children_that_come_before_their_parents_are_put_after_them() -> None:
    nodes = mended([node("c", "b"), node("b", "a"), node("a")])
    assert Tree(nodes).path_to("c") == ("a", "b", "c")


@given(st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 14)), max_size=20))
def test_whatever_a_file_says_becomes_a_tree_that_holds_every_message(
    links: list[tuple[int, int | None]],
) -> None:
    given_nodes = [node(str(each), None if parent is None else str(parent)) for each, parent in links]
    nodes = mended(given_nodes)
    tree = Tree(nodes)
    assert set(tree.nodes) == {each.id for each in given_nodes}
    for each in tree.nodes:
        assert tree.path_to(each)[-1] == each
    whole = {each.id: each for each in given_nodes}
    for kept in tree.nodes.values():
        assert kept.parent in (None, whole[kept.id].parent)


def test_ten_thousand_messages_are_walked_in_a_moment() -> None:
    chain = [node("0")] + [node(str(place), str(place - 1)) for place in range(1, 10_000)]
    begun = time.perf_counter()
    tree = Tree(mended(chain))
    tree.path_to("9999")
    tree.newest_below("0")
    tree.remove("5000")
    assert time.perf_counter() - begun < 0.5
    assert len(tree) == 5000
