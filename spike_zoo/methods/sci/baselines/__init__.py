"""Baselines of SCI: codecs and classifiers."""
