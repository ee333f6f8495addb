"""Slicer's message displays, recorded instead of shown; questions get the answer that the test laid out."""

import dataclasses
import logging

import slicer.util


@dataclasses.dataclass
class Message:
    kind: str  # info, warning, error, question, popup, status
    text: str
    detail: str = ""


class Messages(list):
    """What the user would have seen, in order. `answer` is what the user clicks: True is OK, Yes or Retry."""

    def __init__(self):
        super().__init__()
        self.answer = True

    def of(self, kind: str) -> list[str]:
        """The texts of one kind: info, warning, error, question, popup or status."""
        return [message.text for message in self if message.kind == kind]

    def clear(self) -> None:
        super().clear()
        self.answer = True

    def _record(self, kind: str, text, detail: str = "") -> None:
        if not isinstance(text, str):
            raise TypeError(f"slicer.util's displays take a str, got {text!r}")
        logging.getLogger("harness").info("%s: %s", kind, text)
        self.append(Message(kind, text, detail))

    def install(self) -> None:
        """Replace the displays of slicer.util; their parameters stay Slicer's."""

        def display(kind):
            def show(text, windowTitle=None, parent=None, standardButtons=None, detailedText="", **_options):
                self._record(kind, text, detailedText)

            return show

        def ask(text, windowTitle=None, parent=None, **options):
            self._record("question", text, options.get("detailedText", ""))
            return self.answer

        def popup(message, autoCloseMsec=1000, parent=None, **_options):
            self._record("popup", message)
            slicer.app.processEvents()

        def message_box(text, parent=None, **_options):
            self._record("popup", text)

        def status(message, duration=0):
            self._record("status", message)
            return True

        util = slicer.util
        util.infoDisplay, util.warningDisplay, util.errorDisplay = display("info"), display("warning"), display("error")
        util.confirmOkCancelDisplay = util.confirmYesNoDisplay = util.confirmRetryCloseDisplay = ask
        util.delayDisplay, util.messageBox, util.showStatusMessage = popup, message_box, status
