"""The tables of the documentation from the file of `gpu_check`."""

from __future__ import annotations

import json
from pathlib import Path

NOT_MEASURED = "Not measured: no GPU was at hand."


def markdown(result: Path) -> str:
    """The tables of the file `result`, or a sentence where there is none."""
    if not result.exists():
        return NOT_MEASURED
    found = json.loads(result.read_text(encoding="utf-8"))
    where = found["machine"]
    lines = [
        f"MultiContrastSR {where['version']} on {where['name']}, PyTorch {where['torch']}"
        + (f", CUDA {where['cuda']}" if where["cuda"] else "")
        + f"; {where['processor']}, {where['threads']} of {where['cores']} cores."
    ]
    for title, rows in found["tables"].items():
        if not rows:
            continue
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        lines += ["", f"| {title} | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
        lines += [f"| {name} | {' | '.join(_number(row.get(c)) for c in columns)} |" for name, row in rows.items()]
    if found["failed"] or found["left out"]:
        lines += ["", f"Not measured: {'; '.join([*found['failed'], *found['left out']])}."]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
