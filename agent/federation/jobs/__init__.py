"""What a server ordered, on the robot's disk: from the order to the answer that it has."""
