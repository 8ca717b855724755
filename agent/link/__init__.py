"""A robot's line to its fleet: telemetry and events out, commands and release notices in (MQTT)."""
