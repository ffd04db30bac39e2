"""Who asks: the name of the token that came with the call; empty where none is needed."""

from contextvars import ContextVar

CALLER: ContextVar[str] = ContextVar("caller", default="")
