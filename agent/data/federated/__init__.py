"""Whose data sets a federation learns from: its catalogue, its partitions, its views."""
