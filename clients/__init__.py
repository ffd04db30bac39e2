"""Clients of the detector: `Detector` for plain code, `AsyncDetector` for asyncio.

    from clients import Detector

    with Detector("localhost:50051") as detector:
        answer = detector.detect("photo.jpg")
        print(answer.verdict, answer.fake_probability)

From a shell: `python -m clients detect photo.jpg`.
"""

from clients.aio import AsyncDetector
from clients.channel import tls
from clients.detector import Detector
from clients.errors import DetectionError

__all__ = ["AsyncDetector", "DetectionError", "Detector", "tls"]
