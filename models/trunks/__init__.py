"""Pretrained weights in a folder -> the graphs of a backbone: loading, pooling, taps."""
