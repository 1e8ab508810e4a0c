"""Wire types: what goes in (`requests`) and what comes out (`answers`)."""
