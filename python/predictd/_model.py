"""A model that predictd serves, as an object to call."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, TypedDict, Union, cast, overload

from numpy.typing import ArrayLike, NDArray

from . import _images, _inference, _uwsgi
from ._address import Address
from ._answers import checked, document, is_ready, unreadable
from ._deadline import Deadline, seconds
from ._errors import BadInput
from ._images import Image
from ._inference import Signature

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Class(TypedDict):
    """What a picture may show: one of the classes that a model tells apart."""

    label: str
    index: int
    score: float


class Model:
    """A model that predictd serves.

    Each call is a connection of its own, and nothing is shared between calls: an object may be made before a fork and used
    after it, and by any number of threads and greenlets at once. It can be pickled, too.

    Args:
        name: The model's.
        address: Where predictd listens: ``unix:/path``, ``unix:@abstract``, ``127.0.0.1:8090``, ``[::1]:8090``. Without it
            the variable PREDICTD_ADDRESS says so, or else it is ``unix:/run/predictd/predictd.sock``, where the packaged
            service listens. A host's name is looked up by the system, in its own time.
        version: One of the model's versions; without it, the latest.
        timeout: Seconds that a call may take in all: connecting, sending, running, receiving. The server hears of it and
            drops what nobody waits for.

    Raises:
        BadInput: if one of these cannot be.
    """

    def __init__(
        self,
        name: str,
        address: Optional[str] = None,
        *,
        version: Union[int, str, None] = None,
        timeout: float = 30.0,
    ) -> None:
        # A name is part of a path.
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadInput(f"{name!r} is no model's name: 1 to 128 letters, digits, '.', '_' and '-'")
        if version is not None and not re.fullmatch(r"[0-9]{1,20}", str(version)):
            raise BadInput(f"{version!r} is no version: they are whole numbers")
        self.name = name
        self.version = None if version is None else str(version)
        self._address = Address(address)
        self._subject = f"model {name!r}"
        self.timeout = seconds(timeout)
        self._path = f"/v2/models/{name}" + ("" if version is None else f"/versions/{version}")
        # What it was when we last asked. If that is no longer so, the server refuses what is made for it, and we ask again.
        self._signature: Optional[Signature] = None

    def __repr__(self) -> str:
        version = "" if self.version is None else f", version={self.version!r}"
        return f"Model({self.name!r}, {self.address!r}{version}, timeout={self.timeout!r})"

    @property
    def address(self) -> str:
        """Where its server is."""
        return self._address.text

    def predict(self, x: Any, timeout: Optional[float] = None) -> Any:
        """Runs the model, as Keras' ``model.predict(x)`` does.

        Args:
            x: An array, or what numpy makes one of, for a model with one input, whose first dimension is most often the
                batch. For several inputs a dict of arrays by name, or a list in the model's order. It is cast to the
                model's datatype where that loses precision at most (float64 to FP32): what does not fit is an error. For
                strings an array, or list, of ``str`` or ``bytes``. Or a picture (see :data:`predictd.Image`), or a list of
                them, for a model with a recipe for images.
            timeout: Seconds, instead of the model object's.

        Returns:
            An array for a model with one output, else a dict of arrays by name. FP16 comes as float16, BF16 as float32,
            strings as an array of ``str`` objects, in which bytes that are not UTF-8 are escaped ("surrogateescape").
            For a picture what :meth:`classify` returns; if the model does not classify, its outputs without the batch's
            dimension. For a list of pictures, a list of these.

        Raises:
            BadInput: this is not what the model takes.
            Timeout, Overloaded, NotFound, ServerError, Unreachable: see each.
        """
        deadline = self._deadline(timeout)
        if _images.is_image(x):
            return self._predict_images([x], None, deadline)[0]
        if _images.are_images(x) and not (_images.may_be_strings(x) and self._takes_strings(deadline)):
            return self._predict_images(x, None, deadline)
        return _only(self._infer(x, None, deadline))

    def infer(
        self,
        inputs: Mapping[str, ArrayLike],
        outputs: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
    ) -> Dict[str, NDArray[Any]]:
        """The same for arrays only, by names only: the outputs named, or all of them."""
        return self._infer(inputs, outputs, self._deadline(timeout))

    @overload
    def classify(
        self, image: Image, top_k: Optional[int] = None, timeout: Optional[float] = None
    ) -> List[Class]: ...

    @overload
    def classify(
        self, image: Sequence[Image], top_k: Optional[int] = None, timeout: Optional[float] = None
    ) -> List[List[Class]]: ...

    def classify(
        self,
        image: Union[Image, Sequence[Image]],
        top_k: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Union[List[Class], List[List[Class]]]:
        """What a picture shows, the best class first: ``[{"label": "7", "index": 7, "score": 0.993}, ...]``.

        For a list of pictures, a list of these.

        Args:
            image: A picture, or a list of them; see :data:`predictd.Image`.
            top_k: How many classes; without it, as many as the model's recipe says.
            timeout: Seconds, instead of the model object's.
        """
        deadline = self._deadline(timeout)
        if not (_images.is_image(image) or _images.are_images(image)):
            kind = type(image).__name__
            raise BadInput(f"{self._subject}: an image is bytes, a pathlib.Path or an open file, not {kind}")
        images = cast(Sequence[Image], [image] if _images.is_image(image) else image)
        results = self._predict_images(images, top_k, deadline)
        if not all(isinstance(result, list) for result in results):
            raise BadInput(
                f'{self._subject} does not classify: its model.toml has no [output] kind = "classification"'
            )
        return cast(List[Class], results[0]) if _images.is_image(image) else results

    def ready(self, timeout: Optional[float] = None) -> bool:
        """Whether it is loaded and open for requests. Raises where there is no such model, or no answer."""
        return is_ready(lambda: self._get("/ready", self._deadline(timeout)))

    def metadata(self, timeout: Optional[float] = None) -> Dict[str, Any]:
        """Its name, versions and platform, and its inputs and outputs with datatypes and shapes (-1 is any size)."""
        return self._get("", self._deadline(timeout))

    def _deadline(self, timeout: Optional[float]) -> Deadline:
        return Deadline(self.timeout if timeout is None else timeout, self._subject)

    def _get(self, path: str, deadline: Deadline) -> Dict[str, Any]:
        return document(_uwsgi.ask(self._address, "GET", self._path + path, deadline), self._subject)

    def _fetch_signature(self, deadline: Deadline) -> Signature:
        self._signature = Signature.of(self._get("", deadline), self._subject)
        return self._signature

    def _takes_strings(self, deadline: Deadline) -> bool:
        signature = self._fetch_signature(deadline)
        return any(spec.datatype == "BYTES" for spec in signature.inputs)

    def _infer(self, x: Any, outputs: Optional[Sequence[str]], deadline: Deadline) -> Dict[str, NDArray[Any]]:
        signature = self._signature
        # An order is nothing that the server can check.
        if signature is None or signature.by_order(x):
            signature = self._fetch_signature(deadline)
        try:
            return self._ask(signature, x, outputs, deadline)
        except BadInput:
            # It may have been replaced by one that takes something else. Nothing has been run yet.
            fresh = self._fetch_signature(deadline)
            if fresh == signature:
                raise
        return self._ask(fresh, x, outputs, deadline)

    def _ask(
        self, signature: Signature, x: Any, outputs: Optional[Sequence[str]], deadline: Deadline
    ) -> Dict[str, NDArray[Any]]:
        tensors = signature.encode(signature.arrange(x, self._subject), self._subject)
        left = deadline.left_for("making tensors of the input")
        headers, body = _inference.request(tensors, outputs, left)
        path = f"{self._path}/infer"
        answer = _uwsgi.ask(self._address, "POST", path, deadline, headers=headers, body=body)
        return _inference.outputs(checked(answer, self._subject), self._subject)

    def _predict_images(self, images: Sequence[Image], top_k: Optional[int], deadline: Deadline) -> List[Any]:
        if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
            raise BadInput(f"top_k must be a whole number from 1, got {top_k!r}")
        headers, body = _images.request(images)
        left = deadline.left_for("reading the images")
        query = {"timeout": f"{max(1, int(left * 1e6))}us", "top_k": top_k, "version": self.version}
        answer = _uwsgi.ask(
            self._address,
            "POST",
            f"/predict/{self.name}",
            deadline,
            query="&".join(f"{key}={value}" for key, value in query.items() if value is not None),
            headers=headers,
            body=body,
        )
        results = document(answer, self._subject).get("results")
        if not isinstance(results, list) or len(results) != len(images):
            raise unreadable(answer, self._subject, f"it has no result for each of {len(images)} images")
        try:
            if all("classes" in result for result in results):
                return [result["classes"] for result in results]
        except TypeError as error:
            raise unreadable(answer, self._subject, repr(error)) from error
        signature = self._fetch_signature(deadline)
        try:
            return [_only(signature.from_json(result["outputs"])) for result in results]
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise unreadable(answer, self._subject, repr(error)) from error


def _only(outputs: Dict[str, NDArray[Any]]) -> Any:
    """The array, where there is one."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs
