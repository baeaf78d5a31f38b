"""Damaged and hostile inputs for every parser: ``make fuzz`` and a fixed sample in the tests."""
