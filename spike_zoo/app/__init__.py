"""A page on this machine on which recordings are dropped."""
