"""Simulations that say what the gates let through, and how fast the machinery is. Nothing here decides anything."""
