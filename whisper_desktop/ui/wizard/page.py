"""What every page of the wizard is."""

from PySide6.QtWidgets import QWidget

from whisper_desktop.advice.flow import FlowState


class FlowPage(QWidget):
    """A page that shows the wizard's state."""

    def show_flow(self, state: FlowState) -> None:
        """Show what is known by now."""
        raise NotImplementedError
