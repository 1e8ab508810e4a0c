"""Frozen backbones: bytes in, embedding out. Imports nothing of the other packages."""
