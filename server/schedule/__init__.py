"""Rounds that start by themselves: by the clock, or when robots have recorded enough."""
