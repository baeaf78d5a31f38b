"""Readers of public image data sets for simulated recordings."""
