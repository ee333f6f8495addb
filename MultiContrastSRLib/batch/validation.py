"""The BIDS validator on the input, where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAM = "bids-validator-deno"
_LIMIT = 600  # s


def program() -> str | None:
    """Path of the validator, beside this Python or anywhere; None where it is not installed."""
    beside = Path(sys.executable).with_name(PROGRAM)
    return str(beside) if beside.is_file() else shutil.which(PROGRAM)


def errors_of(folder: Path) -> list[str] | None:
    """Errors of the dataset at `folder`, "CODE: file"; None where the validator is not installed or gives no answer."""
    validator = program()
    if validator is None:
        return None
    try:
        done = subprocess.run(
            [validator, "--format", "json", str(folder)],
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            encoding="utf-8",
        )
        issues = json.loads(done.stdout)["issues"]["issues"]
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return None
    return [f"{each['code']}: {each.get('location', '')}" for each in issues if each.get("severity") == "error"]


def warning_for(folder: Path) -> str | None:
    """A sentence about the errors of the dataset at `folder`; None where there are none, or no validator."""
    errors = errors_of(folder)
    if not errors:
        return None
    return (
        f"The BIDS validator finds {len(errors)} errors in {folder} ({'; '.join(errors[:3])}). Subjects that they "
        f"concern may fail; `{PROGRAM} {folder}` lists all."
    )
