"""The Keras models; importing this package registers their layers, so that Keras can load them."""

from training.models import frontend, layers

__all__ = ["frontend", "layers"]
