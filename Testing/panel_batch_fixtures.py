"""What the tests of the panel's section "Batch" share: filling it in, running it, and what its list shows."""

from __future__ import annotations

import json
from pathlib import Path

PLAIN = "{subject}/anat/*_{contrast}.nii.gz"  # scans of a BIDS dataset, without a reader of BIDS


def choose(module, harness, source: Path, output: Path, scans: str = PLAIN) -> None:
    """Open the section and fill it in."""
    ui = module.ui
    ui.batchSectionButton.collapsed = False
    ui.batchInput.text, ui.batchOutput.text, ui.batchScans.text = str(source), str(output), scans
    ui.batchTargets.text, ui.batchReferences.text = "T2w", "T1w"
    harness.choose(ui.registrationSelector, "Off")
    harness.process_events()


def wait_end(module, harness) -> None:
    harness.wait(lambda: not module.logic.batch.active, 90, "the end of the batch")


def run_batch(module, harness) -> None:
    harness.click(module.ui.batchStartButton)
    wait_end(module, harness)


def states(module) -> list[tuple[str, str]]:
    """What the list shows."""
    tree = module.ui.batchSubjects
    items = [tree.topLevelItem(row) for row in range(tree.topLevelItemCount)]
    return [(item.text(0), item.text(1)) for item in items]


def select(module, harness, row: int):
    tree = module.ui.batchSubjects
    tree.setCurrentItem(tree.topLevelItem(row))
    harness.process_events()
    return tree.topLevelItem(row)


def tell(module, *events: dict) -> None:
    """Have the section hear of these events, as if the command had printed them."""
    from MultiContrastSRPanel.logic.batch.process import BatchProcess

    section = module.widget.panel.batch
    if module.logic.batch is None:
        module.logic.batch = BatchProcess(Path("/out"), section._changed, section._ended)
    module.logic.batch._take(b"".join(json.dumps(event).encode() + b"\n" for event in events))


def end(module) -> None:
    """Have the section hear that the command has come to its end."""
    from MultiContrastSRPanel.logic.batch.process import BatchState

    module.logic.batch._end(BatchState.DONE)


def result(name: str, state: str = "done", message: str = "", remedy: str = "", warnings=(), outputs=()) -> dict:
    """The event of a subject that has ended."""
    said = {"message": message, "remedy": remedy, "warnings": list(warnings), "outputs": list(outputs)}
    return {"event": "result", "subject": name, "state": state, **said, "remaining": 60.0}
