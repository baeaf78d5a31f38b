"""Base classes, exit codes and messages of the package's errors."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from spike_zoo import errors
from spike_zoo.errors import SpikeZooError, closest


def _kinds(kind: type[SpikeZooError] = SpikeZooError) -> Iterator[type[SpikeZooError]]:
    if kind.__module__ == errors.__name__:
        yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)


KINDS = sorted(set(_kinds()), key=lambda kind: kind.__name__)
#: Errors of the call; all other errors are about content.
WRONG_CALLS = {
    *("UsageError", "ConfigError", "MissingFileError", "ExistingFileError"),
    *("MissingGeometryError", "MissingItemError"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_call_ends_with_2_and_unreadable_content_with_1(kind: type[SpikeZooError]) -> None:
    assert kind.exit_code == (2 if kind.__name__ in WRONG_CALLS else 1)


@pytest.mark.parametrize(
    ("kind", "known_as"),
    [
        ("MissingFileError", FileNotFoundError),
        ("ExistingFileError", FileExistsError),
        ("PlaneRangeError", IndexError),
        ("MissingItemError", KeyError),
        ("WeightsError", ValueError),
    ],
)
def test_an_error_is_caught_as_what_python_calls_it(kind: str, known_as: type[Exception]) -> None:
    with pytest.raises(known_as, match="what is wrong"):
        raise getattr(errors, kind)("what is wrong")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_its_message_as_it_was_written(kind: type[SpikeZooError]) -> None:
    assert (
        str(kind("a.h5: 'b' is not there")) == "a.h5: 'b' is not there"
    )  # KeyError would quote the message


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_whole_out_of_another_process(kind: type[SpikeZooError]) -> None:
    came = pickle.loads(pickle.dumps(kind("a.h5: cut", code="E04", path="a.h5")))
    assert type(came) is kind
    assert (str(came), came.code, came.path) == ("a.h5: cut", "E04", "a.h5")


@pytest.mark.parametrize(
    ("word", "said"),
    [("tfpp", " Did you mean 'tfp'?"), ("sitr", " Did you mean 'stir'?"), ("deblur", "")],
)
def test_a_word_that_is_close_is_offered(word: str, said: str) -> None:
    assert closest(word, ["tfp", "stir"]) == said


def test_the_closest_words_come_first_where_several_are_offered() -> None:
    offered = closest("tfpi", ["tfi", "tfp", "stir"], most=2)
    assert offered == " Did you mean 'tfp' or 'tfi'?"
