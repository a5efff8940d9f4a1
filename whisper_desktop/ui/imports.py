"""Imports after PySide6, without the price that it puts on them.

From its first import on PySide6 reads the source text of every module that is imported, to see whether
it may use PySide's switchable features (`from __feature__ import snake_case`), and `linecache` keeps all
those texts. Nobody here uses such features. Measured: 18 MB of 128, and much of the time of every import.
"""

import linecache
import sys


def leave_sources_unread() -> None:
    """Tell PySide6 that no module uses its features. Does nothing where a version of it works otherwise."""
    feature = sys.modules.get("shibokensupport.feature")
    if hasattr(feature, "_mod_uses_pyside"):
        feature._mod_uses_pyside = lambda _module: False  # type: ignore[union-attr]
        linecache.clearcache()
