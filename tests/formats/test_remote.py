"""Remote recordings and archives, with a server on this machine."""

import functools
import os
import pickle
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spike_zoo
from spike_zoo.archive import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import MissingFileError, MissingGeometryError, UsageError
from spike_zoo.formats import write_recording
from spike_zoo.formats.remote import CACHE_VARIABLE, LIMIT_VARIABLE
from spike_zoo.testing import tiny_archive
from tests.helpers.servers import Server
from tests.helpers.streams import random_spikes

Requests = list[str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str, Requests]]:
    """A folder, its address and the paths of the requests."""
    folder, requests = tmp_path / "served", list[str]()
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Record the request."""
            requests.append(self.path)

    with Server(functools.partial(Handler, directory=str(folder))) as server:
        yield folder, server.address, requests


def test_a_recording_is_copied_once_with_its_sidecar(
    server: tuple[Path, str, Requests], cache: Path
) -> None:
    folder, address, requests = server
    recording = random_spikes(40, 12, 16)
    write_recording(recording, folder / "a.dat")
    (folder / "a.dat.yaml").write_text("spike_h: 12\nspike_w: 16\n")
    downloaded = spike_zoo.read_recording(f"{address}/a.dat")
    assert np.array_equal(downloaded[:], recording[:])
    before = len(requests)
    assert np.array_equal(spike_zoo.read_recording(f"{address}/a.dat")[:], recording[:])
    assert requests[before:].count("/a.dat") == 1, "its size"
    assert len(list(cache.rglob("a.dat"))) == 1


def test_a_cached_copy_that_was_removed_is_downloaded_again(
    server: tuple[Path, str, Requests], cache: Path
) -> None:
    folder, address, _ = server
    write_recording(random_spikes(40, 12, 16), folder / "a.npz")
    first = spike_zoo.read_recording(f"{address}/a.npz")[:]
    (copy,) = cache.rglob("a.npz")
    copy.unlink()
    assert np.array_equal(spike_zoo.read_recording(f"{address}/a.npz")[:], first)


@pytest.mark.parametrize("query", ["", "?download=1", "?Expires=3.6&Signature=x/y"])
def test_commands_accept_addresses(
    server: tuple[Path, str, Requests],
    query: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, address, _ = server
    write_recording(random_spikes(40, 12, 16), folder / "a.npz")
    source = f"{address}/a.npz{query}"
    assert main(["info", source]) == 0
    assert "40" in capsys.readouterr().out
    line = ["reconstruct", source, "--method", "tfi", "--rate-scale", "0.6"]
    assert main([*line, "--stride", "10", "--out", "images"]) == 0
    assert {path.name[:2] for path in Path("images").glob("*.png")} == {"a-"}


def _use_limit(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, str(size / 1e9))


def test_the_cache_keeps_to_its_limit(
    server: tuple[Path, str, Requests], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address, _ = server
    (cache / "artifacts").mkdir(parents=True)
    (cache / "artifacts" / "weights.ckpt").write_bytes(b"of another part of the package")
    for name in "abcd":
        write_recording(random_spikes(40, 12, 16), folder / f"{name}.dat")
    _use_limit(monkeypatch, 2.5 * (folder / "a.dat").stat().st_size)
    for name in "abcd":
        assert len(spike_zoo.read_recording(f"{address}/{name}.dat", height=12, width=16)) == 40
        assert list(cache.rglob(f"{name}.dat")), "the last one is kept"
    assert len(list(cache.rglob("*.dat"))) == 2
    assert (cache / "artifacts" / "weights.ckpt").exists()
    monkeypatch.setenv(LIMIT_VARIABLE, "50GB")
    with pytest.raises(UsageError, match="SPIKE_ZOO_CACHE_GB=50GB: expected a number"):
        spike_zoo.read_recording(f"{address}/a.dat", height=12, width=16)


def test_an_open_archive_is_readable_after_its_copy_was_removed_and_fetched_again(
    server: tuple[Path, str, Requests], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address, _ = server
    local = SpikeArchive(tiny_archive(folder / "a.h5", 21, 32, 32))
    write_recording(random_spikes(40, 12, 16), folder / "b.dat")
    archive, dat = SpikeArchive(f"{address}/a.h5"), f"{address}/b.dat"
    name = archive.names()[0]
    recording = archive[name]
    _use_limit(monkeypatch, 1)
    other = spike_zoo.read_recording(dat, height=12, width=16)
    assert not list(cache.rglob("a.h5"))
    assert np.array_equal(recording[:], local[name][:])
    archive.check_unchanged()
    assert list(cache.rglob("a.h5"))
    assert np.array_equal(pickle.loads(pickle.dumps(archive))[name][:], local[name][:])
    with pytest.raises(MissingFileError, match=r"b\.dat: was removed from the cache"):
        other[:]


def test_a_changed_file_or_sidecar_is_fetched_again(server: tuple[Path, str, Requests]) -> None:
    folder, address, _ = server
    sidecar = folder / "a.dat.yaml"
    first, second = random_spikes(40, 12, 16, seed=1), random_spikes(40, 12, 16, seed=2)
    write_recording(first, folder / "a.dat")
    sidecar.write_text("spike_h: 12\nspike_w: 16\n")
    before = spike_zoo.read_recording(f"{address}/a.dat")
    write_recording(second, folder / "a.dat", overwrite=True)
    os.utime(folder / "a.dat", (1e9, 1e9))  # of equal size
    assert np.array_equal(spike_zoo.read_recording(f"{address}/a.dat")[:], second[:])
    assert np.array_equal(before[:], first[:])
    sidecar.write_text("spike_h: 12\nspike_w: 16\nfps: 100\n")
    assert spike_zoo.read_recording(f"{address}/a.dat").fps == 100
    sidecar.unlink()
    with pytest.raises(MissingGeometryError):
        spike_zoo.read_recording(f"{address}/a.dat")


@pytest.mark.parametrize("query", ["download=1", "Expires=3.6&Signature=x%2Fy", "v=a/b.npz"])
@pytest.mark.parametrize("name", ["a.dat", "b%20c.npz", "b%20c.spl"])
def test_suffix_and_sidecar_are_those_of_the_part_before_the_query(
    server: tuple[Path, str, Requests], name: str, query: str
) -> None:
    folder, address, requests = server
    recording = random_spikes(40, 12, 16)
    write_recording(recording, folder / name.replace("%20", " "), with_sidecar="dat" in name)
    assert np.array_equal(spike_zoo.read_recording(f"{address}/{name}?{query}")[:], recording[:])
    assert {f"/{name}?{query}", f"/{name}.yaml?{query}"} == set(requests)


def test_archives_are_verified_and_rewritten_from_addresses(
    server: tuple[Path, str, Requests],
) -> None:
    folder, address, _ = server
    source = f"{tiny_archive(folder / 'a.h5', 21, 32, 32).parent.as_uri()}/a.h5"
    assert (
        main(["archive", "verify", source]) == main(["archive", "verify", f"{address}/a.h5"]) == 0
    )
    assert main(["archive", "build", f"{address}/a.h5", str(folder / "b.h5")]) == 0
    assert SpikeArchive(folder / "b.h5").data_sha256() == SpikeArchive(source).data_sha256()
    assert main(["reconstruct", source, "--name", "t*", "--out", "{name}.png"]) == 2


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_training_data_are_read_from_addresses(
    server: tuple[Path, str, Requests], workers: int
) -> None:
    folder, address, _ = server
    local = tiny_archive(folder / "a.h5", 21, 32, 32)
    options: dict[str, Any] = {"crop": 16, "batch_size": 2, "seed": 0, "workers": workers}
    remote, same = (
        next(iter(ReconstructionDataModule(source, 21, **options).train_dataloader()))
        for source in (f"{address}/a.h5", str(local))
    )
    assert (remote["spikes"] == same["spikes"]).all()


class _Cut(BaseHTTPRequestHandler):
    """A server that closes the connection in the middle of a file, or fails for its sidecar."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.endswith(".yaml"):
            self.send_error(503 if "busy" in self.path else 403)
            return
        self.send_response(200)
        self.send_header("Content-Length", "640" if "whole" in self.path else "256000")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(bytes(640 if "whole" in self.path else 128000))


def test_transfers_cut_short_and_failing_servers_are_named(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--height", "8", "--width", "8"]
    with Server(_Cut) as server:
        address = server.address
        assert main(["info", f"{address}/a.dat", *size]) == 1
        message = rf"{address}/a\.dat: the transfer ended after 128000 of 256000 bytes .*try again"
        assert re.search(message, capsys.readouterr().err)
        assert not list(cache.rglob("a.dat"))
        assert main(["info", f"{address}/whole.dat", *size]) == 0, "no sidecar: 403"
        assert main(["info", f"{address}/busy-whole.dat", *size]) == 2
        assert "busy-whole.dat: its sidecar cannot be read (503" in capsys.readouterr().err


@pytest.mark.parametrize(
    "read", [spike_zoo.read_recording, SpikeArchive, lambda address: main(["info", address])]
)
def test_missing_files_are_named_by_their_address(
    server: tuple[Path, str, Requests],
    capsys: pytest.CaptureFixture[str],
    read: Callable[[str], object],
) -> None:
    _, address, _ = server
    try:
        assert read(f"{address}/none.h5") == 2
        message = capsys.readouterr().err
    except MissingFileError as error:
        message = str(error)
    assert f"{address}/none.h5: cannot be read" in message


def test_a_server_without_an_answer_is_named() -> None:
    for address in ("ftp://127.0.0.1:1/a.npz", "http://127.0.0.1:1/a.npz"):
        with pytest.raises(MissingFileError, match=rf"{address}: cannot be read"):
            spike_zoo.read_recording(address)


def test_an_unknown_scheme_of_an_address_names_the_extra() -> None:
    with pytest.raises(UsageError, match=r"spike-zoo\[remote\]"):
        spike_zoo.read_recording("gopher://host/a.dat")
