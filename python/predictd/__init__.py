"""The client of predictd, an application server for models.

    >>> import predictd
    >>> model = predictd.Model("digits", "unix:/run/predictd/predictd.sock")
    >>> model.predict(x)                                # numpy in, numpy out
    >>> model.classify(pathlib.Path("7.png"))           # or bytes, or an open file

A call is one short connection by the uwsgi protocol, and ends by its timeout, whatever happens. There is no state: forks,
threads, gevent and uWSGI's master process are all safe.
"""

from ._errors import BadInput, NotFound, Overloaded, PredictdError, ServerError, Timeout, Unreachable
from ._images import Image
from ._model import Class, Model
from ._server import Server

__all__ = [
    "BadInput",
    "Class",
    "Image",
    "Model",
    "NotFound",
    "Overloaded",
    "PredictdError",
    "Server",
    "ServerError",
    "Timeout",
    "Unreachable",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        # Only who asks pays for the look into the installed package.
        from importlib.metadata import version

        return version("predictd")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
