"""What layouts of the transcript depend on besides the text: fonts, colours, the width of the column."""

from dataclasses import dataclass, replace

from PySide6.QtCore import QUrl
from PySide6.QtGui import QFont, QFontDatabase, QFontMetricsF, QPalette, QTextDocument, QTextOption

from whisper_desktop.ui.chat.math_images import Formulas
from whisper_desktop.ui.theme import COLUMN_CHARACTERS, XS, Colors, L, M, colors

_LONGEST_WORD = 2000  # characters
_NARROWEST = 80.0  # px


class SafeDocument(QTextDocument):
    """A document that never loads anything: no file, no address, whatever the text asks for."""

    def loadResource(self, kind: int, name: QUrl | str) -> object:  # noqa: N802
        return None


@dataclass(frozen=True, slots=True)
class Style:
    """What a layout depends on besides the row: fonts, colours, the width of the view.

    `indent` is how far an item of a list is set in, `sheet` the style sheet of formatted text. `formulas`
    draws formulas; without it they are shown as their source.
    """

    font: QFont
    small: QFont
    code: QFont
    palette: QPalette
    colors: Colors
    width: float
    widest: float
    indent: float
    sheet: str
    right_to_left: bool = False
    pixel_ratio: float = 1.0
    formulas: Formulas | None = None

    @classmethod
    def of(
        cls,
        font: QFont,
        palette: QPalette,
        width: float,
        *,
        right_to_left: bool = False,
        pixel_ratio: float = 1.0,
        formulas: Formulas | None = None,
    ) -> "Style":
        """The style for a view of this width."""
        small = QFont(font)
        small.setPointSizeF(max(font.pointSizeF() - 1, 1.0))
        code = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        code.setPointSizeF(max(font.pointSizeF() - 0.5, 1.0))
        paint, metrics = colors(palette), QFontMetricsF(font)
        widest = metrics.averageCharWidth() * COLUMN_CHARACTERS + 2 * M
        return cls(
            QFont(font),
            small,
            code,
            palette,
            paint,
            width,
            widest,
            indent=metrics.horizontalAdvance("00. ") + XS,
            sheet=_style_sheet(paint, code),
            right_to_left=right_to_left,
            pixel_ratio=pixel_ratio,
            formulas=formulas,
        )

    @property
    def column(self) -> tuple[float, float]:
        """Left edge and width of the column of text: centred, at most 72 characters wide."""
        width = max(min(self.width - 2 * L, self.widest), _NARROWEST)
        return (self.width - width) / 2, width

    def at(self, width: float) -> "Style":
        """The same for another width of the view."""
        return replace(self, width=width)

    def fits(self, other: "Style") -> bool:
        """Whether what was laid out for the other style is right for this one."""
        return self is other or (self.font is other.font and self.column[1] == other.column[1])


def wrap_mode(text: str) -> QTextOption.WrapMode:
    """Lines break between words; a text with an endless word breaks anywhere.

    Qt looks for the end of the word from every line of it, so a megabyte of base64 takes minutes otherwise.
    """
    if len(text) > _LONGEST_WORD and max(map(len, text.split()), default=0) > _LONGEST_WORD:
        return QTextOption.WrapMode.WrapAnywhere
    return QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere


def document(font: QFont, text: str) -> QTextDocument:
    """An empty document for this text."""
    made = SafeDocument()
    made.setUndoRedoEnabled(False)
    made.setDocumentMargin(0)
    made.setDefaultFont(font)
    if (wrap := wrap_mode(text)) != QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere:
        option = made.defaultTextOption()
        option.setWrapMode(wrap)
        made.setDefaultTextOption(option)
    return made


def _style_sheet(paint: Colors, code: QFont) -> str:
    return f"""
        p, ul, ol, h1, h2, h3, h4, h5, h6, table, blockquote, pre {{ margin-top: 0; margin-bottom: 0; }}
        p, li {{ line-height: 118%; }}
        h1 {{ font-size: x-large; }} h2 {{ font-size: large; }} h3, h4, h5, h6 {{ font-size: medium; }}
        a {{ color: {paint.link.name()}; }}
        code, pre {{ font-family: "{code.family()}"; background-color: {paint.panel.name()}; }}
        pre {{ white-space: pre-wrap; }}
        blockquote {{ color: {paint.secondary.name()}; margin-left: {L}px; margin-right: 0; }}
        table {{ border-collapse: collapse; border-style: solid; border-color: {paint.border.name()}; }}
        th {{ background-color: {paint.panel.name()}; }}
    """
