"""Readers of the folder layouts of published data sets."""
