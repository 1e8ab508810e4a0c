"""Backbones of Graft's own, which need no weights."""
