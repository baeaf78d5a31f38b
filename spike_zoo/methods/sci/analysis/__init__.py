"""Reconstruction and recognition from decoded features."""
