"""Weighted averages of published versions.

members    a published version as a part of an ensemble
running    what a version's file says of items
answers    what each member says of rows that it had not seen
pool       the average itself: of probabilities, of log probabilities, of values
weights    shares that make the average likeliest
learning   given or learned shares, judged on held-out rows; who hurts is dropped
head       the average as a head
graph      its ONNX file, with every member's graph compiled in
report     shares, disagreement, and the gain over the best member
adapt      from a task with members to everything that is published
"""
