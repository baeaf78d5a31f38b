"""Smallest values of arguments: a mistake is named before a loader stumbles over it."""

from __future__ import annotations

from spike_zoo.errors import ConfigError


def check_at_least(limits: dict[str, tuple[int | None, int]]) -> None:
    """Reject values below the least allowed.

    Args:
        limits: Name of an argument -> its value and the least; None is always taken.

    Raises:
        ConfigError: Naming the first.
    """
    for name, (value, least) in limits.items():
        if value is not None and value < least:
            raise ConfigError(f"{name}: at least {least}, got {value}")
