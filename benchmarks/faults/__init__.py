"""Every fault of an SO-101 arm: what Armada does, and what LeRobot's own loop does."""
