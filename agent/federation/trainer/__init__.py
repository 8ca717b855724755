"""The process that does what the fleet's server ordered, when the robot has time for it."""
