"""What a robot does for its federation: jobs, what travels, releases that earn their place."""
