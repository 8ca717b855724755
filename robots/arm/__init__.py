"""What Armada knows about a real arm: its parts, its calibration, its port."""
