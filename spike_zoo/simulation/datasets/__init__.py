"""Image data sets of others that scenes are made from."""
