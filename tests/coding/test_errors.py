"""Pickling of the errors of bitstreams."""

from __future__ import annotations

import pickle

import pytest

from spike_zoo.coding import (
    BitstreamError,
    CorruptBitstreamError,
    DecodeMismatchError,
    DeviceNotExactError,
    ModelMismatchError,
    NotFinalizedError,
    TruncatedBitstreamError,
)
from spike_zoo.errors import FormatError, SpikeZooError


@pytest.mark.parametrize(
    "error",
    [
        CorruptBitstreamError("m", gop=3, byte_range=(44, 60), path="a.sci"),
        TruncatedBitstreamError("m", last_complete_gop=2, path="a.sci"),
        ModelMismatchError("m", of_file=b"a", of_model=b"b", path="a.sci"),
        DecodeMismatchError("m", gop=1, path="a.sci"),
    ],
)
def test_every_error_is_a_format_error_and_keeps_what_it_knows(error: BitstreamError) -> None:
    assert isinstance(error, FormatError)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.__dict__, str(again)) == (type(error), error.__dict__, "m")


def test_what_is_wrong_with_machine_or_model_is_no_fault_of_the_file() -> None:
    for kind in (DeviceNotExactError, NotFinalizedError):
        assert issubclass(kind, SpikeZooError)
        assert not issubclass(kind, FormatError)
