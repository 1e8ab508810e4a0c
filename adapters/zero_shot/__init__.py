"""Classes that nobody has an example of: told by their signatures.

fronts     g(z): what is learned of items, whatever the classes are
head       fronts and a table of classes: scores, ONNX, the same for other classes
splits     classes set apart as if nobody had an example of them
trials     candidates on these
stacking   what is taken from the scores of seen classes
shares     of a blend
compare    from trials to a choice
judged     rows that had no say in it, and what they say of it
attributes rows that are labelled with attributes instead of classes
candidates what a method puts up for comparison
report     all that was measured
adapt      from a task with signatures to everything that is published
"""
