"""A chunk of SmolVLA: seconds, memory and error of LeRobot and of each of our engines."""
