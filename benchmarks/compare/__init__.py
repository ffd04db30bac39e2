"""This server beside the ceilings and other servers: `python -m benchmarks compare`.

`workloads` say what servers are asked, `plan` how much of it and for how long. `measure` goes through the
rounds and fills `compared`, with a turn for each server, load and round. `lines` are the figures that follow
from it; `tables` and `plots` show them, and `history` keeps them and finds what changed since the last run.
"""
