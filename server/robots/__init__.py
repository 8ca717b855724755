"""What the central server knows of the robots: how they stand and what they decided."""
