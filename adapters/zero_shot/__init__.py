"""Classes that nobody has an example of: told by their signatures.

fronts     g(z): what is learned of items, whatever the classes are
head       fronts and a table of classes: scores, ONNX, the same for other classes
splits     classes set apart as if nobody had an example of them
adapt      from a task with signatures to everything that is published
"""
