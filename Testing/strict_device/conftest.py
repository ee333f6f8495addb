"""The fixture `strict_device`, and the process that its tests run in.

A second device is registered with torch for the whole process, so tests in this folder run in a process of their own,
all that are selected in one. Their reports are repeated in the session that selected them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from strict_device_loader import StrictDevice, load_strict_device, reason_to_skip

FOLDER = Path(__file__).parent
_REPORTS = "MULTICONTRASTSR_STRICT_DEVICE_REPORTS"  # file for the reports of the process; set in it alone
_reports: dict[str, list[pytest.TestReport]] = {}


@pytest.fixture(scope="session")
def strict_device() -> StrictDevice:
    """The device; the test is skipped where it cannot be built."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    return load_strict_device()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _REPORTS not in os.environ and FOLDER in item.path.parents:
            item.add_marker(pytest.mark.timeout(0))  # the time limit holds in the process


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if _REPORTS in os.environ or FOLDER not in item.path.parents:
        return None
    if item.nodeid not in _reports:
        _run_in_own_process([each for each in item.session.items if FOLDER in each.path.parents])
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports[item.nodeid]:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_configure(config: pytest.Config) -> None:
    if _REPORTS in os.environ:
        config.pluginmanager.register(_ReportWriter(config))


class _ReportWriter:
    """Appends every report to the file, one line of JSON each."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        with open(os.environ[_REPORTS], "a", encoding="utf-8") as lines:
            lines.write(json.dumps(data) + "\n")


def _run_in_own_process(items: list[pytest.Item]) -> None:
    config = items[0].config
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "reports.jsonl")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", f"{folder}/tmp"]
        environment = {
            **os.environ,
            _REPORTS: str(place),
            "OMP_NUM_THREADS": "1",  # several threads wait for each other longer than the tiny scans take
            # an environment that is not activated has ninja beside its Python
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }
        names = [item.nodeid for item in items]
        done = subprocess.run([*command, *names], cwd=config.rootpath, env=environment, capture_output=True, text=True)
        lines = place.read_text(encoding="utf-8").splitlines() if place.exists() else []
    for line in lines:
        report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
        if isinstance(report.longrepr, list):  # of a skipped test; JSON has no tuples
            report.longrepr = tuple(report.longrepr)
        _reports.setdefault(report.nodeid, []).append(report)
    missing = [name for name in names if name not in _reports]
    if missing:
        raise RuntimeError(f"The process of the strict device did not report {missing}:\n{done.stdout}\n{done.stderr}")
