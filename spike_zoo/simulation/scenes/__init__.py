"""Procedural scenes with known luminance and optical flow at every plane."""
