"""Which model servers answer, on this computer and at the addresses a person gave.

`places` decides where to look, `probe` asks one place, `known` is the table of the servers that are
recognised, each by what it says and never by its port, and `detector` does it all at once within one
deadline.
"""

from whisper_desktop.discovery.detector import LocalLLMDetector

__all__ = ["LocalLLMDetector"]
