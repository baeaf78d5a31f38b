"""Codec of SCI: I-frames, P-frames, entropy models and bitstreams."""
