"""Runs the demonstration's programs where sample scans are neither on this machine nor to be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:9"  # a closed port: every download fails at once


def run_without_scans(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m program` in `folder`, without data, cache or network."""
    environment = {name: value for name, value in os.environ.items() if name != "MULTICONTRASTSR_DATA"}
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'Testing'}"}
    environment |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    command = [sys.executable, "-m", program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
