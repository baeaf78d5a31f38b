"""Kinds of archives that the command ``simulate`` writes."""
