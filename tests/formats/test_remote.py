"""Remote recordings and archives, with a server on this machine."""

from __future__ import annotations

import functools
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import spike_zoo
from spike_zoo.archive import SpikeArchive
from spike_zoo.archive.shards import build_shards
from spike_zoo.cli.main import main
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import MissingFileError, RecordingError, UsageError
from spike_zoo.formats import partial_copies, remote, write_recording
from spike_zoo.formats.remote_files import CACHE_VARIABLE, LIMIT_VARIABLE
from spike_zoo.testing import tiny_archive
from tests.helpers.streams import random_spikes

Requests = list[str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    remote._copied.cache_clear()
    yield tmp_path / "cache"
    remote._copied.cache_clear()


class RangeServer(NamedTuple):
    folder: Path
    address: str
    cache: Path
    response_sizes: list[int]


@pytest.fixture
def range_server(tmp_path: Path, cache: Path) -> Iterator[RangeServer]:
    """A server with range requests: its folder, its address and the sizes of its responses."""
    folder, response_sizes = tmp_path / "by-ranges", list[int]()
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            requested = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            path = Path(self.translate_path(self.path))
            if requested is None or not path.is_file():
                super().do_GET()
                return
            first, last = int(requested[1]), int(requested[2])
            part = path.read_bytes()[first : last + 1]
            response_sizes.append(len(part))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{path.stat().st_size}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield RangeServer(folder, f"http://127.0.0.1:{server.server_port}", cache, response_sizes)
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str, Requests]]:
    """A folder, its address and the paths of the requests."""
    folder, requests = tmp_path / "served", list[str]()
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Record the request."""
            requests.append(self.path)

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    server.server_close()


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
    remote._copied.cache_clear()  # as in another process
    assert np.array_equal(spike_zoo.read_recording(f"{address}/a.dat")[:], recording[:])
    assert [path for path in requests[before:] if path == "/a.dat"] in ([], ["/a.dat"])  # its size
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


def test_commands_accept_addresses(
    server: tuple[Path, str, Requests], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, address, _ = server
    write_recording(random_spikes(40, 12, 16), folder / "a.npz")
    assert main(["info", f"{address}/a.npz"]) == 0
    assert "40" in capsys.readouterr().out


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Blocks of 4 KiB."""
    monkeypatch.setattr(partial_copies, "BLOCK", 4096)
    return 4096


def _blocks(cache: Path, name: str) -> int:
    """Return the number of blocks of 4 KiB of a copy that are allocated on disk."""
    (copy,) = cache.rglob(name)
    return -(-copy.stat().st_blocks * 512 // 4096)


@pytest.mark.usefixtures("small_blocks")
def test_only_the_planes_read_of_a_raw_recording_are_downloaded(range_server: RangeServer) -> None:
    folder, address, cache, response_sizes = range_server
    recording = random_spikes(400, 64, 64)  # 512 bytes a plane, 50 blocks
    write_recording(recording, folder / "a.dat")
    downloaded = spike_zoo.read_recording(f"{address}/a.dat", height=64, width=64)
    assert np.array_equal(downloaded[200:216], recording[200:216])
    assert len(pickle.loads(pickle.dumps(downloaded))[100:101]) == 1
    assert _blocks(cache, "a.dat") <= 5
    assert sum(response_sizes) <= 5 * 4096
    assert np.array_equal(downloaded[:], recording[:])
    assert sum(response_sizes) == 400 * 512 + 1, (
        "each byte is sent once, after a request of one byte"
    )
    assert not list(cache.rglob("*.blocks")), "the copy is complete"
    assert spike_zoo.read_recording(f"{address}/a.dat", height=64, width=64)[3:5].any()


@pytest.mark.usefixtures("small_blocks")
def test_a_server_without_ranges_sends_the_file_once(
    server: tuple[Path, str, Requests], cache: Path
) -> None:
    folder, address, requests = server
    recording = random_spikes(400, 64, 64)
    write_recording(recording, folder / "a.dat")
    downloaded = spike_zoo.read_recording(f"{address}/a.dat", height=64, width=64)
    before = len(requests)
    assert np.array_equal(downloaded[:], recording[:])
    assert len(requests) == before
    assert not list(cache.rglob("*.blocks"))


@pytest.mark.usefixtures("small_blocks")
def test_only_the_recordings_read_of_an_archive_are_downloaded(range_server: RangeServer) -> None:
    folder, address, cache, _ = range_server
    local = SpikeArchive(tiny_archive(folder / "a.h5", 81, 64, 64))
    with SpikeArchive(f"{address}/a.h5") as archive:
        assert archive.names() == local.names()
        assert np.array_equal(archive["val-0"][:], local["val-0"][:])
        assert archive.data_sha256() == local.data_sha256()
    size = (folder / "a.h5").stat().st_size
    assert _blocks(cache, "a.h5") < 0.6 * size / 4096
    with SpikeArchive(f"{address}/a.h5") as archive:
        for name in local.names():
            assert np.array_equal(archive[name][:], local[name][:])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_remote_file_that_changes_during_reading_is_named(
    range_server: RangeServer, change: str
) -> None:
    folder, address, _, _ = range_server
    write_recording(random_spikes(400, 64, 64), folder / "a.dat")
    downloaded = spike_zoo.read_recording(f"{address}/a.dat", height=64, width=64)
    if change == "replaced":
        write_recording(random_spikes(500, 64, 64), folder / "a.dat", overwrite=True)
        with pytest.raises(RecordingError, match="has changed while it was read; start again"):
            downloaded[300:310]
    else:
        (folder / "a.dat").unlink()
        with pytest.raises(MissingFileError, match=rf"{address}/a.dat: cannot be read"):
            downloaded[300:310]


@pytest.mark.usefixtures("small_blocks")
def test_an_archive_whose_server_fails_is_named_by_its_address(range_server: RangeServer) -> None:
    folder, address, _, _ = range_server
    tiny_archive(folder / "a.h5", 81, 64, 64)
    archive = SpikeArchive(f"{address}/a.h5")
    (folder / "a.h5").unlink()
    with pytest.raises(MissingFileError, match=rf"{address}/a.h5: cannot be read"):
        archive["val-0"][:]


def _shards(folder: Path) -> Path:
    with SpikeArchive(tiny_archive(folder.parent / "one.h5", 21, 32, 32)) as archive:
        jobs = {name: functools.partial(archive.take, name) for name in archive}
        splits = {split: archive.names(split) for split in archive.splits()}
        return build_shards(folder / "all", jobs, "6", splits=splits)


def test_only_the_shards_read_of_an_archive_are_downloaded(
    server: tuple[Path, str, Requests], cache: Path
) -> None:
    folder, address, _ = server
    local = SpikeArchive(_shards(folder))
    with SpikeArchive(f"{address}/all") as archive:
        assert archive.names() == local.names()
        assert list(cache.rglob("*.h5")) == []
        assert np.array_equal(archive["val-0"][:], local["val-0"][:])
        assert len(list(cache.rglob("*.h5"))) == 1


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("workers", [0, 2])
def test_training_data_are_read_from_an_address(range_server: RangeServer, workers: int) -> None:
    folder, address, _, _ = range_server
    _shards(folder)
    data = ReconstructionDataModule(
        f"{address}/all", 21, crop=16, batch_size=2, seed=0, workers=workers
    )
    (batch, *_) = data.train_dataloader()
    assert batch["spikes"].shape == (2, 21, 16, 16)


def test_the_cache_keeps_to_its_limit(
    server: tuple[Path, str, Requests], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address, _ = server
    _shards(folder)
    size = (folder / "all" / "000.h5").stat().st_size
    monkeypatch.setenv(LIMIT_VARIABLE, str(2.5 * size / 1e9))
    archive = SpikeArchive(f"{address}/all")
    for name in archive.names():
        archive[name].read()
    copies = list(cache.rglob("*.h5"))
    assert len(copies) == 2
    assert archive.path.joinpath("005.h5") in copies, "the shard read last"


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
