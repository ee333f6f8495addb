"""The sample scans: by checksum from a folder, from the cache, from a server, or the phantom in their place."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import json
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

import MultiContrastSRLib as mc
from MultiContrastSRLib.core.errors import FileReadError, UnknownNameError
from MultiContrastSRLib.samples import scans as sample
from MultiContrastSRLib.samples.phantom import default_grid


class Server:
    """Serves a folder on 127.0.0.1 and records the requests."""

    def __init__(self, folder: Path) -> None:
        self.requested: list[str] = []
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:
                server.requested.append(self.path)

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
        )
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small scans, T2.nii.gz and T1.nii.gz, to be served or pointed at."""
    made = tmp_path / "public"
    made.mkdir()
    for seed, name in enumerate(("T2", "T1")):
        volume = mc.Volume(np.random.default_rng(seed).random((3, 8, 8)), np.diag([1, 1, 3, 1]))
        mc.save_volume(volume, made / f"{name}.nii.gz")
    return made


@pytest.fixture
def server(folder: Path):
    running = Server(folder)
    yield running
    running.stop()


@pytest.fixture
def table(folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> list[sample.Scan]:
    """The table of two scans on the local server."""
    monkeypatch.delenv("MULTICONTRASTSR_DATA", raising=False)
    monkeypatch.setattr(sample, "default_grid", lambda: default_grid((6.0, 3.0, 3.0)))  # a quick phantom
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return [
        sample.Scan(
            name=f"Nobody-{name}", label=f"Nobody, {name}", patient="nobody", contrast=name,
            file=f"nobody_{name}.nii.gz",
            path=f"repository/{name}.nii.gz", url=f"{server.address}/{name}.nii.gz",
            sha256=hashlib.sha256((folder / f"{name}.nii.gz").read_bytes()).hexdigest(),
            bytes=(folder / f"{name}.nii.gz").stat().st_size, licence="CC BY", citation="Nobody 2026",
        )
        for name in ("T2", "T1")
    ]  # fmt: skip


def test_download_once_then_from_the_cache_even_offline(table, server, folder, tmp_path):
    logged = []
    first = sample.sample_volumes("nobody", table=table, cache=tmp_path / "cache", log=logged.append)
    assert first.real and list(first.volumes) == ["T2", "T1"] and first.volumes["T2"].name == "T2"
    assert np.array_equal(first.volumes["T1"].array, mc.load_volume(folder / "T1.nii.gz").array)
    assert server.requested == ["/T2.nii.gz", "/T1.nii.gz"]
    assert logged[0] == f"Downloading Nobody, T2 (0.0 MB, CC BY) from {table[0].url}" and len(logged) == 2
    server.stop()
    again = sample.sample_volumes("nobody", table=table, cache=tmp_path / "cache", log=logged.append)
    assert again.real and len(logged) == 2


def test_a_wrong_hash_is_an_error_and_leaves_nothing(table, tmp_path):
    wrong = [dataclasses.replace(table[0], sha256="0" * 64), table[1]]
    with pytest.raises(FileReadError) as caught:
        sample.sample_volumes("nobody", table=wrong, cache=tmp_path / "cache", log=lambda text: None)
    assert str(caught.value) == (
        f"Sample Nobody-T2 from {table[0].url} is not what was expected (SHA-256 {'0' * 64}); nothing was kept. It was "
        "changed there or on the way. Try another network, or report it."
    )
    assert not list((tmp_path / "cache").iterdir())


def test_a_damaged_cache_is_fetched_again(table, server, tmp_path):
    cache = tmp_path / "cache"
    sample.find_scan(table[0], cache=cache, log=lambda text: None)
    (cache / table[0].file).write_bytes(b"damaged")
    path = sample.find_scan(table[0], cache=cache, log=lambda text: None)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == table[0].sha256 and len(server.requested) == 2


def test_without_network_and_cache_the_phantom_stands_in(table, server, tmp_path):
    server.stop()
    logged = []
    found = sample.sample_volumes("nobody", table=table, cache=tmp_path / "cache", log=logged.append)
    assert not found.real and found.patient == "phantom" and list(found.volumes) == ["T2", "T1"]
    assert logged[-1] == (
        f"Sample Nobody-T2 is neither in MULTICONTRASTSR_DATA nor in {tmp_path}/cache, and {table[0].url} cannot be "
        "reached (NewConnectionError). The built-in phantom is used instead."
    )
    assert not any((tmp_path / "cache").glob("*"))


def test_a_file_that_is_no_longer_on_the_server_is_reported(table, folder, tmp_path):
    (folder / "T2.nii.gz").unlink()
    logged = []
    assert not sample.sample_volumes("nobody", table=table, cache=tmp_path / "cache", log=logged.append).real
    assert "cannot be reached (HTTP 404). The built-in phantom is used instead." in logged[-1]


def test_a_download_that_breaks_off_leaves_nothing(table, tmp_path):
    def half(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbeginning")
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=half, args=(listener,), daemon=True).start()
        scan = dataclasses.replace(table[0], url=f"http://127.0.0.1:{listener.getsockname()[1]}/T2.nii.gz")
        with pytest.raises((sample.SampleUnavailableError, FileReadError)):
            sample.find_scan(scan, cache=tmp_path / "cache", log=lambda text: None)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("inside", ["repository", "."])
def test_the_users_folder_comes_first_and_is_checked(table, server, folder, tmp_path, monkeypatch, inside):
    data = tmp_path / "data"
    data.mkdir()
    folder.rename(data / inside) if inside != "." else [os.rename(p, data / p.name) for p in folder.iterdir()]
    monkeypatch.setenv("MULTICONTRASTSR_DATA", str(data))
    place = sample.find_scan(table[0], cache=tmp_path / "cache")
    assert place.resolve() == (data / inside / "T2.nii.gz").resolve() and not server.requested


def test_another_file_of_that_name_is_left_alone(table, folder, tmp_path, monkeypatch):
    data = tmp_path / "data"
    (data / "repository").mkdir(parents=True)
    (data / "repository" / "T2.nii.gz").write_text("something else")
    monkeypatch.setenv("MULTICONTRASTSR_DATA", str(data))
    logged = []
    place = sample.find_scan(table[0], cache=tmp_path / "cache", log=logged.append)
    assert place.parent == tmp_path / "cache"
    assert logged[0].endswith("has another SHA-256 than the sample scan of that name; it is neither used nor changed.")
    assert (data / "repository" / "T2.nii.gz").read_text() == "something else"


def test_unknown_samples_are_named(table):
    with pytest.raises(UnknownNameError) as caught:
        sample.sample_volumes("nobody", ("T2", "CT"), table=table)
    assert str(caught.value) == "Unknown sample nobody CT; expected one of nobody T2, nobody T1."


def test_without_pooch_it_says_what_to_install(table, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pooch", None)
    logged = []
    assert not sample.sample_volumes("nobody", table=table, cache=tmp_path, log=logged.append).real
    assert logged == [
        "Sample Nobody-T2 needs pooch for its download, which is not installed; pip install pooch, or point "
        "MULTICONTRASTSR_DATA at the data. The built-in phantom is used instead."
    ]


# ---------------------------------------------------------------------- the real table


def test_table_is_complete():
    table = json.loads(Path(sample.__file__).with_name("scans.json").read_text())
    assert [entry["name"] for entry in table["slicer"]] == ["MSPatient12-T1W", "MSPatient12-T2W", "MSPatient12-FLAIR"]
    found = sample.scans()
    assert {(scan.patient, scan.contrast) for scan in found} == {
        *(("patient12", contrast) for contrast in ("T1", "T2", "FLAIR")),
        *(("patient26", contrast) for contrast in ("T1", "T2", "FLAIR", "T1POST", "lesions")),
    }
    for field in ("name", "file", "path", "url", "sha256"):
        assert len({getattr(scan, field) for scan in found}) == len(found)
    for scan in found:
        commit = "65704901f60650824565aa5a4818611aa89716f4"
        root, _, path = scan.url.partition(f"/raw/{commit}/")
        assert root == "https://github.com/muschellij2/open_ms_data" and scan.path == f"open_ms_data/{path}"
        assert scan.licence == "CC BY" and "Lesjak" in scan.citation and len(scan.sha256) == 64 and scan.bytes > 0


@pytest.mark.skipif("MULTICONTRASTSR_DATA" not in os.environ, reason="needs the real scans")
def test_real_files_are_the_ones_in_the_table(tmp_path):
    for scan in sample.scans():
        path = sample.find_scan(scan, cache=tmp_path)  # compares the checksum, else would download
        assert tmp_path not in path.parents and path.stat().st_size == scan.bytes


@pytest.mark.skipif("MULTICONTRASTSR_DATA" not in os.environ, reason="needs the real scans")
def test_real_samples_load():
    found = sample.sample_volumes("patient12", ("T2", "T1", "FLAIR"))
    assert found.real and found.volumes["T2"].shape == (44, 384, 348)
    assert sample.sample_volumes("patient26", ("lesions",)).volumes["lesions"].array.max() == 1
