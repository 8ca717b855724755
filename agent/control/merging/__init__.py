"""Merges: one plan for a tick out of those of several chunks, a strategy a file."""
