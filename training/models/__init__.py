"""The Keras models; importing this package registers their layers, so that Keras can load them."""

from training.models import audio, backbone, coherence, frontend, layers, spectrum

__all__ = ["audio", "backbone", "coherence", "frontend", "layers", "spectrum"]
