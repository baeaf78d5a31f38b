"""Reading, writing, loading, exporting and publishing of weights."""
