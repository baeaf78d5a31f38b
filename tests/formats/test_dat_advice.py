"""Advice of errors and warnings about headerless recordings: following it gives the right planes."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from spike_zoo.errors import SpikeZooError
from spike_zoo.formats import read_recording
from spike_zoo.formats.dat_sizes import ranked_sizes
from spike_zoo.simulation import SceneSpec, simulate_take

HEIGHT, WIDTH = 120, 176
_WORDS: Final = {"byte": "byte", "bit": "bit", "big": "big", "little": "little"}


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
