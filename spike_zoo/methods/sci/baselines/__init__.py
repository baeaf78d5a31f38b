"""Codecs and classifiers that SCI is compared with."""
