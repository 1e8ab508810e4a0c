"""The hot path: texts -> one batch over one session -> rows of one head table -> calibrated probabilities."""
