"""Base classes, exit codes and messages of the package's errors."""

import pickle
from collections.abc import Iterator

import pytest

from spike_zoo import errors
from spike_zoo.errors import SpikeZooError, closest


def _error_names(kind: type[SpikeZooError] = SpikeZooError) -> Iterator[type[SpikeZooError]]:
    if kind.__module__ == errors.__name__:
        yield kind
    for derived in kind.__subclasses__():
        yield from _error_names(derived)


KINDS = sorted(set(_error_names()), key=lambda kind: kind.__name__)
#: Errors of the call; all other errors are about content.
WRONG_CALLS = {
    *("UsageError", "ConfigError", "MissingFileError", "ExistingFileError"),
    *("MissingGeometryError", "MissingItemError"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_usage_errors_have_exit_code_2_and_content_errors_1(kind: type[SpikeZooError]) -> None:
    assert kind.exit_code == (2 if kind.__name__ in WRONG_CALLS else 1)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        ("MissingFileError", FileNotFoundError),
        ("ExistingFileError", FileExistsError),
        ("PlaneRangeError", IndexError),
        ("MissingItemError", KeyError),
        ("WeightsError", ValueError),
    ],
)
def test_an_error_derives_from_the_corresponding_error_of_python(
    kind: str, builtin: type[Exception]
) -> None:
    with pytest.raises(builtin, match="what is wrong"):
        raise getattr(errors, kind)("what is wrong")


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_of_an_error_is_printed_unchanged(kind: type[SpikeZooError]) -> None:
    assert (
        str(kind("a.h5: 'b' is not there")) == "a.h5: 'b' is not there"
    )  # KeyError would quote the message


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_pickled_with_its_attributes(kind: type[SpikeZooError]) -> None:
    unpickled = pickle.loads(pickle.dumps(kind("a.h5: cut", code="E04", path="a.h5")))
    assert type(unpickled) is kind
    assert (str(unpickled), unpickled.code, unpickled.path) == ("a.h5: cut", "E04", "a.h5")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("s", "stir"), ("sitr", "stir"), ("STIR", "stir"), ("adam", "Adam"), ("deblur", "")],
)
def test_a_close_word_is_suggested(word: str, expected: str) -> None:
    hint = f" Did you mean {expected!r}?" if expected else ""
    assert closest(word, ["tfp", "stir", "Adam"]) == hint


def test_several_suggestions_are_sorted_by_similarity() -> None:
    suggestion = closest("tfpi", ["tfi", "tfp", "stir"], most=2)
    assert suggestion == " Did you mean 'tfp' or 'tfi'?"
