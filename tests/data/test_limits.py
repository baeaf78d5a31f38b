"""Numbers too small to mean anything are named with the least that does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.data.limits import check_at_least
from spike_zoo.errors import ConfigError


@given(least=st.integers(-5, 5), above=st.integers(0, 9))
def test_the_least_and_all_above_it_are_taken(least: int, above: int) -> None:
    check_at_least({"workers": (least + above, least), "seed": (None, least)})


@given(least=st.integers(-5, 5), below=st.integers(1, 9))
def test_anything_below_is_refused_with_both_numbers(least: int, below: int) -> None:
    with pytest.raises(ConfigError) as refused:
        check_at_least({"workers": (least, least), "stride": (least - below, least)})
    assert str(refused.value) == f"stride: at least {least}, got {least - below}"
