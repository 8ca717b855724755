"""Policies: loading, asking, building, storing, comparing. LeRobot's classes do the work."""
