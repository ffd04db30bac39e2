"""Media made from a seed, real-like and forged."""

import os

# One process per core makes the media. BLAS threads inside each would only fight over the cores, and
# OpenBLAS was seen to spin for ever when two such processes did. Inherited by the processes started here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
