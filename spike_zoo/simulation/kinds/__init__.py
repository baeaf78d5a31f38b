"""The kinds of archives that ``simulate`` makes."""
