"""Feature extraction and motion estimation of SCI."""
