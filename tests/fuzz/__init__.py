"""Damaged and hostile inputs for every parser, for ``make fuzz`` and a fixed sample in tests."""
