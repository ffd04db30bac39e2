"""Raw media → a data folder: listed, decoded, compared, grouped by identity, split, reported.

settings.py     what a run is asked for
journal.py      the list of files and what decoding found, in SQLite: a killed run goes on
inspection.py   decodes what the journal does not know yet, in the server's isolated pool
fingerprint.py  256 bits per medium, and near.py finds pairs of nearly equal ones
groups.py       who belongs together, and which split each group goes to
lists.py        the CSVs
summary.py      counts; page.py draws them
run.py          the steps, in order
"""
