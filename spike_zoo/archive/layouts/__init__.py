"""Folder layouts of published data sets, read into archives."""
