"""Methods, one folder per paper."""
