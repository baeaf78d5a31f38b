"""Training stages of SCI."""
