"""Untrusted bytes -> items and labels, under limits.

    sniff      which format is it
    encoding   is it UTF-8 throughout
    delimited, jsonlines, jsonarray, parquet      one reader a format; each gives a `Table` (rows.py)
    isolated   the Parquet reader in a process of its own, because its library can be made to crash
    columns    which column is the text, which the label
    policy     what becomes of bad rows, in every modality
    quality    what a careful reader would have noticed
    text       all of the above, for texts: `read_text`

Every error is an `InputError` that says what was seen, the limit and the remedy. Nothing is executed, unpickled or
fetched. A reader blocks: call it from a worker thread.
"""
