"""The releases of a fleet: made, signed, kept and served."""
