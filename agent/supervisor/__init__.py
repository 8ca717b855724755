"""The main process of ``armada run``: starts, watches and restarts the others, and nothing else."""
