"""Deliveries, to a real receiver that misbehaves in every way; what must not be reached listens, and hears nothing."""
