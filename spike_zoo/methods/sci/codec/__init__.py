"""The codec of SCI: I-frames, P-frames, entropy models, bitstreams."""
