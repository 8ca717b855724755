"""``armada doctor``: is everything here that a run needs? A verdict and a remedy a line."""
