"""Following the advice of errors and warnings about recordings gives the right planes."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo.errors import SpikeZooError
from spike_zoo.formats import read_recording
from spike_zoo.formats.dat_sizes import ranked_sizes
from spike_zoo.simulation import SceneSpec, simulate_take

HEIGHT, WIDTH = 120, 176


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    """Planes of a moving photograph; the stored rows run from top to bottom."""
    spec = SceneSpec(
        planes=61, height=HEIGHT, width=WIDTH, background="photo:chelsea", speed=0.3, seed=4
    )
    return simulate_take(spec, margin=20).recording[:]


def stored(planes: np.ndarray, *, order: str = "little", align: str = "byte") -> bytes:
    """Return the bytes of planes by numpy."""
    bits = planes.reshape(len(planes), -1) if align == "byte" else planes.reshape(1, -1)
    return np.packbits(bits, axis=1, bitorder=order).tobytes()  # type: ignore[call-overload]


def advised(message: str) -> dict[str, Any]:
    """Return the options that a message names with a value, as arguments of the reader."""
    pairs = re.findall(r"--(offset|bit-order|frame-align|height|width) (\d+|[a-z]+\b)", message)
    known = {name.replace("-", "_"): value for name, value in pairs if value not in ("and", "or")}
    settings: dict[str, Any] = {
        name: int(value) if value.isdecimal() else value for name, value in known.items()
    }
    return settings | ({"allow_partial": True} if "--allow-partial" in message else {})


def messages_of(path: Path, **settings: Any) -> tuple[np.ndarray | None, str]:
    """Read a recording; return its planes, and what the error or the warnings say."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            planes = read_recording(path, **settings, flip=False, check_rows=True)[:]
        except SpikeZooError as error:
            return None, str(error)
    texts = [str(each.message) for each in caught if "dropped the last" not in str(each.message)]
    return planes, " ".join(texts)


@pytest.mark.parametrize("cut", [0, 7, 1001], ids="cut_{}".format)
@pytest.mark.parametrize("header", [0, 1, 22, 64, 100, 517, 2639], ids="header_{}".format)
@pytest.mark.parametrize("order", ["little", "big"])
def test_following_the_advice_gives_the_right_planes(
    tmp_path: Path, spikes: np.ndarray, header: int, cut: int, order: str
) -> None:
    content = stored(spikes, order=order)
    path = tmp_path / "a.dat"
    path.write_bytes(bytes(i % 251 for i in range(header)) + content[: len(content) - cut])
    settings: dict[str, Any] = {"height": HEIGHT, "width": WIDTH}
    heard = []
    for _ in range(4):
        planes, message = messages_of(path, **settings)
        if not message:
            break
        heard.append(message)
        settings |= advised(message)
    expected = spikes if not cut else spikes[:-1]
    assert not message, heard
    np.testing.assert_array_equal(planes, expected, err_msg=f"{heard}")
    assert bool(heard) == bool(header or cut or order == "big")
    fit = ranked_sizes(path).sizes[0]
    assert (fit.height, fit.width, fit.offset) == (HEIGHT, WIDTH, header)
    assert (fit.bit_order or "little", bool(fit.left)) == (order, bool(cut))


@pytest.mark.parametrize("wrong", [{"width": 401}, {"height": 121}, {"width": 120, "height": 176}])
@pytest.mark.parametrize("order", ["little", "big"])
def test_the_size_that_an_error_or_a_warning_lists_first_gives_the_right_planes(
    tmp_path: Path, spikes: np.ndarray, wrong: dict[str, int], order: str
) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(bytes(64) + stored(spikes, order=order))
    _, message = messages_of(path, **({"height": HEIGHT, "width": WIDTH} | wrong))
    listed = re.search(r"(?:bytes|first): (\d+)x(\d+) \(\d+ planes, ([^)]*)\)", message)
    assert listed, message
    height, width, options = listed.groups()
    planes, message = messages_of(path, height=int(height), width=int(width), **advised(options))
    assert not message
    np.testing.assert_array_equal(planes, spikes)


@pytest.mark.parametrize("align", ["byte", "bit"])
@pytest.mark.parametrize("size", [(95, 131), (96, 132)])
def test_the_listed_alignment_of_planes_that_are_not_whole_bytes_gives_the_right_planes(
    tmp_path: Path, spikes: np.ndarray, align: str, size: tuple[int, int]
) -> None:
    planes = spikes[:, : size[0], : size[1]]
    path = tmp_path / "a.dat"
    path.write_bytes(stored(planes, align=align))
    _, message = messages_of(path)
    listed = re.search(r"(?:bytes|first): (\d+)x(\d+) \(\d+ planes(?:, ([^)]*))?\)", message)
    assert listed, message
    settings = {"height": int(listed[1]), "width": int(listed[2])} | advised(listed[3] or "")
    np.testing.assert_array_equal(messages_of(path, **settings)[0], planes)


def test_a_wrong_offset_is_corrected(tmp_path: Path, spikes: np.ndarray) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(bytes(64) + stored(spikes))
    for wrong in (22, 63, 65, 640):
        settings: dict[str, Any] = {"height": HEIGHT, "width": WIDTH, "offset": wrong}
        _, message = messages_of(path, **settings, allow_partial=True)
        assert advised(message)["offset"] == 64, message


@pytest.mark.parametrize("factor", [255, 2, 255.0])
def test_dividing_by_the_named_value_gives_the_right_planes(
    tmp_path: Path, spikes: np.ndarray, factor: float
) -> None:
    path = tmp_path / "a.npy"
    values = spikes * np.asarray(factor, np.uint8 if factor == int(factor) else np.float32)
    np.save(path, values)
    with pytest.raises(SpikeZooError, match=rf"Divide by {factor:g}:") as caught:
        read_recording(path)
    divisor = re.search(r"Divide by (\d+)", str(caught.value))
    assert divisor
    np.save(path, values // int(divisor[1]))
    np.testing.assert_array_equal(read_recording(path)[:], spikes)
