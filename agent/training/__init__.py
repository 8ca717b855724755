"""Training at home: the robot's own episodes, the trainable part of its policy, bounded work."""
