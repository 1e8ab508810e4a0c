"""Sounds: decoded, resampled, embedded."""
