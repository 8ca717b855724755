"""Rounds on a schedule while processes are killed and a link is cut."""
