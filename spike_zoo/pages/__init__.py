"""Pages for people: reports and the live view."""
