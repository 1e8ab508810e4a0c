"""Untrusted bytes -> items and what is to be learned of them, under limits.

    sniff                                   which format is it
    encoding                                is it UTF-8 throughout
    delimited, jsonlines, jsonarray         one reader a text format; each gives a `Table` (rows)
    parquet, parquet_rewrite, parquet_clean Parquet: read or rewritten in a child process (isolated, parquet_child),
                                            because its library can be made to crash
    npy                                     NumPy's files
    archives, zip_archive, tar_archive      zip and tar as a list of files; nothing is unpacked under a stranger's name
    folders, listing                        which file has which label: its folder, or a table beside the files
    media, decoding                         is it an image or a sound, and can it be decoded
    parquet_media, media_table              images and sounds in Parquet
    names, columns                          which column is the text, the label, the target
    cells, vector_cells, numbers            one cell as a text, a label, a number, a vector
    target, several                         one class a row, any number of classes, or a number
    marks                                   several labels a row in NumPy's files
    beside                                  which rows belong together, and how much each counts
    settle, identifiers                     which rows are kept, and what they say
    policy                                  what becomes of bad rows, in every modality
    quality, leaks, repeats                 what a careful reader would have noticed
    text, tables, vectors, files            one entry a modality
    read                                    the entry for all of them: `read_upload`
    signatures                              classes by their attributes; a package of its own
    rows_in                                 files to predict: `open_rows`

Every error is an `InputError` that says what was seen, the limit and the remedy. Nothing is executed, unpickled or
fetched. A reader blocks: call it from a worker thread.
"""
