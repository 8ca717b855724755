"""Kills and swaps at a running agent, and what each of its ticks acted on meanwhile."""
