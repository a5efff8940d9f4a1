"""Colours and distances. Every colour comes from the system's palette, so dark and light need no skin."""

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

# Distances in device independent pixels: the only ones used.
XS, S, M, L, XL = 4, 8, 12, 16, 24

COLUMN_CHARACTERS = 72  # a line of text is at most this wide
READABLE = 4.5  # contrast of small text against its background (WCAG AA)

_SCHEMES = {
    "system": Qt.ColorScheme.Unknown,
    "light": Qt.ColorScheme.Light,
    "dark": Qt.ColorScheme.Dark,
}


def follow(theme: str) -> None:
    """Light, dark, or what the system says (`ui.theme`).

    Where the platform cannot switch (an X11 session without a desktop's theme), the palette is ours: that of
    the Fusion style, which such a session has anyway.
    """
    QGuiApplication.styleHints().setColorScheme(_SCHEMES[theme])
    QApplication.setPalette(QPalette())  # the system's
    if theme != "system" and is_dark(QApplication.palette()) != (theme == "dark"):
        QApplication.setPalette(plain_palette(dark=theme == "dark"))


def is_dark(palette: QPalette) -> bool:
    """Whether text is lighter than what is behind it."""
    window, text = (
        palette.color(role) for role in (QPalette.ColorRole.Window, QPalette.ColorRole.WindowText)
    )
    return window.lightnessF() < text.lightnessF()


def plain_palette(*, dark: bool) -> QPalette:
    """A palette of greys with a blue accent; every word in it can be read."""
    made = QPalette(QColor("#2d2d30" if dark else "#f0f0f0"))
    made.setColor(QPalette.ColorRole.Base, QColor("#1f1f22" if dark else "#ffffff"))
    made.setColor(QPalette.ColorRole.AlternateBase, QColor("#29292c" if dark else "#f5f5f5"))
    made.setColor(QPalette.ColorRole.ToolTipBase, QColor("#3a3a3e" if dark else "#ffffdc"))
    made.setColor(QPalette.ColorRole.Highlight, QColor("#2f6fce"))
    made.setColor(QPalette.ColorRole.HighlightedText, QColor("#ffffff"))
    made.setColor(QPalette.ColorRole.Link, QColor("#6aa9ff" if dark else "#0b57c2"))
    words = QColor("#ececec" if dark else "#1b1b1b")
    for role in ("WindowText", "Text", "ButtonText", "ToolTipText"):
        made.setColor(QPalette.ColorRole[role], words)
    made.setColor(QPalette.ColorRole.PlaceholderText, QColor("#a8a8ac" if dark else "#6a6a6a"))
    faint = QColor("#8a8a8e" if dark else "#8c8c8c")
    for role in ("WindowText", "Text", "ButtonText"):
        made.setColor(QPalette.ColorGroup.Disabled, QPalette.ColorRole[role], faint)
    return made


@dataclass(frozen=True, slots=True)
class Colors:
    """The colours of one palette. `secondary` is for small grey text and still reaches 4.5:1."""

    dark: bool
    base: QColor
    text: QColor
    secondary: QColor
    link: QColor
    accent: QColor
    on_accent: QColor
    bubble: QColor
    panel: QColor
    border: QColor
    good: QColor
    warn: QColor
    bad: QColor


def colors(palette: QPalette) -> Colors:
    """What to paint with on this palette's *Base*; words can also be read on its *Window*."""
    base = palette.color(QPalette.ColorRole.Base)
    text = palette.color(QPalette.ColorRole.Text)
    accent = palette.color(QPalette.ColorRole.Highlight)
    dark = base.lightnessF() < 0.5
    panel = mixed(base, text, 0.05 if dark else 0.04)
    window = palette.color(QPalette.ColorRole.Window)

    def words(color: QColor) -> QColor:
        return readable(readable(color, panel, text), window, text)

    return Colors(
        dark=dark,
        base=base,
        text=text,
        secondary=words(flattened(palette.color(QPalette.ColorRole.PlaceholderText), panel)),
        link=words(palette.color(QPalette.ColorRole.Link)),
        accent=accent,
        on_accent=palette.color(QPalette.ColorRole.HighlightedText),
        bubble=mixed(base, accent, 0.22 if dark else 0.13),
        panel=panel,
        border=mixed(base, text, 0.2),
        good=words(QColor("#2e9e5b")),
        warn=words(QColor("#c77700")),
        bad=words(QColor("#d13b3b")),
    )


def mixed(first: QColor, second: QColor, share: float) -> QColor:
    """`first` with `share` (0 to 1) of `second` in it."""
    return QColor.fromRgbF(
        first.redF() + (second.redF() - first.redF()) * share,
        first.greenF() + (second.greenF() - first.greenF()) * share,
        first.blueF() + (second.blueF() - first.blueF()) * share,
    )


def flattened(color: QColor, background: QColor) -> QColor:
    """A translucent colour as it looks on a background."""
    return mixed(background, color, color.alphaF())


def readable(color: QColor, background: QColor, text: QColor) -> QColor:
    """The colour, moved towards `text` until it can be read on `background`."""
    share = 0.0
    while contrast(mixed(color, text, share), background) < READABLE and share < 1.0:
        share += 0.05
    return mixed(color, text, min(share, 1.0))


def contrast(first: QColor, second: QColor) -> float:
    """The contrast ratio of WCAG 2.2 (1 to 21): https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: QColor) -> float:
    """Relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""

    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(part) for part in (color.redF(), color.greenF(), color.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
