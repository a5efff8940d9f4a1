"""The language of the windows: our sentences, Qt's own buttons, and how dates and numbers are written."""

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator
from PySide6.QtWidgets import QApplication

from whisper_desktop import language
from whisper_desktop.settings.paths import resource

_of_qt = QTranslator()


def speak(wanted: str) -> str:
    """Speak a language of `language.LANGUAGES`, or "system"; returns the code of the one that is spoken.

    A window that there is already keeps its words; one that is made from now on has the new ones.
    """
    code = language.use(wanted, resource("translations"))
    QCoreApplication.removeTranslator(_of_qt)
    if code != "en" and _of_qt.load(f"qtbase_{code}", _translations_of_qt()):
        QCoreApplication.installTranslator(_of_qt)
    # Somebody who reads English here may well write dates in the way of another country.
    QLocale.setDefault(QLocale.system() if wanted == "system" else QLocale(code))
    QApplication.setLayoutDirection(QLocale(code).textDirection())
    return code


def _translations_of_qt() -> str:
    return QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
