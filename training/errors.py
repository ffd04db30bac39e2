"""Why training could not go on; the message is for the person at the terminal."""


class TrainingError(Exception):
    """Root of what the commands report without a traceback."""


class DataError(TrainingError):
    """The data or models folder does not hold what is needed."""


class ExportFailed(TrainingError):
    """The exporter ended with an error, which it has printed."""
