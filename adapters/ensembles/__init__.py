"""Weighted averages of published versions.

members    a published version as a part of an ensemble
weights    shares: given, or learned from held-out scores
head       the average as a head, with every member's graph compiled in
adapt      from a task with members to everything that is published
"""
