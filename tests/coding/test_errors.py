"""Pickling of the errors of bitstreams."""

import pickle

from spike_zoo.coding.errors import (
    CorruptBitstreamError,
    DecodeMismatchError,
    DeviceNotExactError,
    ModelMismatchError,
    NotFinalizedError,
    TruncatedBitstreamError,
)
from spike_zoo.errors import FormatError, SpikeZooError


def test_every_error_is_a_format_error_and_is_pickled_with_its_attributes() -> None:
    errors = (
        CorruptBitstreamError("m", gop=3, byte_range=(44, 60), path="a.sci"),
        TruncatedBitstreamError("m", last_complete_gop=2, path="a.sci"),
        ModelMismatchError("m", of_file=b"a", of_model=b"b", path="a.sci"),
        DecodeMismatchError("m", gop=1, path="a.sci"),
    )
    for error in errors:
        assert isinstance(error, FormatError)
        other = pickle.loads(pickle.dumps(error))
        assert (type(other), other.__dict__, str(other)) == (type(error), error.__dict__, "m")


def test_errors_of_device_and_model_are_not_format_errors() -> None:
    for kind in (DeviceNotExactError, NotFinalizedError):
        assert issubclass(kind, SpikeZooError)
        assert not issubclass(kind, FormatError)
