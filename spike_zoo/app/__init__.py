"""App: a local web page to view and convert recordings."""
