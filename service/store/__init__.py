"""Artifacts on disk: content-addressed blobs, and create-only manifests."""
