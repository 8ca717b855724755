"""The recorder: a process that turns frames in shared memory into LeRobot episodes on disk."""
