"""Files of weights: read, write, load, export, publish."""
