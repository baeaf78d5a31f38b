"""HTML reports of recordings, archives, runs and bitstreams."""
