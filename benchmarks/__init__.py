"""Benchmarks of the real service over HTTP; README.md says what each measures and how to read it."""
