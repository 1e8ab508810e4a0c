"""Fits: queued durably, run in a child process that can be killed, published once."""
