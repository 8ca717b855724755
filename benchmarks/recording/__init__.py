"""Recording beside LeRobot's own recorder: what a SIGKILL takes, what a busy machine costs."""
