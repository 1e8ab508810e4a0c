"""Untrusted tables and texts -> signatures, under limits.

    files                    a CSV, TSV, JSON Lines file or JSON list -> given
    entries                  classes of a JSON body -> given, texts, mixtures
    given                    names and cells as they came, and where each stands in what was sent
    typed                    the cells of one column -> numbers, or a group of attributes
    table                    all columns -> signatures

Unlike labelled items no row can be left out: a class that vanishes would never be answered. So any cell that cannot be
used refuses the whole, and every one of them is listed.
"""
