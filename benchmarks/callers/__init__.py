"""A load generator in a process of its own: ready-made bytes out, answers read after the clock has stopped.

It speaks HTTP itself. A gRPC library takes longer for a call than some of the servers measured, and on the
same cores that would be in every figure.
"""
