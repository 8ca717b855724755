"""``armada calibrate``: leads a person through a calibration, compares one, writes one."""
