"""The uwsgi protocol, byte by byte, against peers that answer by script."""

from __future__ import annotations

import socket
import tracemalloc

import pytest
from predictd import BadInput, Server, ServerError
from predictd._address import Address
from predictd._deadline import Deadline
from predictd._uwsgi import Answer, ask, packet

from .harness import PATIENCE, Peer, Peers, answer, request


def get(peer: Peer) -> Answer:
    return ask(Address(peer.address), "GET", "/x", Deadline(PATIENCE, "it"))


def test_a_packet_is_its_length_and_its_variables() -> None:
    variables = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/"), ("PATH_INFO", "/")]
    expected = (
        "003300000e00524551554553545f4d4554484f4403004745540b00524551554553545f55524901002f"
        "0900504154485f494e464f01002f"
    )
    assert packet(variables).hex() == expected
    assert packet([]).hex() == "00000000"
    assert packet([("A", "ü")]) == b"\x00\x07\x00\x00\x01\x00A\x02\x00\xc3\xbc"
    assert packet([("A", "x" * 65530)])[:4] == b"\x00\xff\xff\x00"


@pytest.mark.parametrize("variables", [[("A", "x" * 65531)], [("A", "x" * 65536)], [("A", "x" * 40000)] * 2])
def test_a_packet_that_its_length_cannot_say_is_refused(variables: list[tuple[str, str]]) -> None:
    with pytest.raises(BadInput, match="head"):
        packet(variables)


def test_a_request_is_a_packet_and_then_the_body(peer: Peers) -> None:
    seen = []

    def script(connection: socket.socket) -> None:
        seen.append(request(connection))
        connection.sendall(answer(b""))

    address = Address(peer(script).address)
    headers = {"Content-Type": "text/plain", "X-Y": "z"}
    ask(address, "POST", "/a", Deadline(PATIENCE, "it"), query="b=c", headers=headers, body=[b"12", b"345"])
    expected = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/a",
        "QUERY_STRING": "b=c",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": "5",
        "HTTP_USER_AGENT": "predictd-python",
        "CONTENT_TYPE": "text/plain",
        "HTTP_X_Y": "z",
    }
    assert seen == [packet(expected.items()) + b"12345"]


def test_pieces_are_sent_in_their_order_whatever_their_size(peer: Peers) -> None:
    sizes = [0, 1, 70_000, 10, 65_535, 1, 65_536, 3, 3, 200_000]
    body = [bytes([number]) * size for number, size in enumerate(sizes)]
    seen = []

    def script(connection: socket.socket) -> None:
        seen.append(request(connection))
        connection.sendall(answer(b""))

    ask(Address(peer(script).address), "POST", "/x", Deadline(PATIENCE, "it"), body=body)
    assert seen[0].endswith(b"".join(body))


def test_an_answer_may_come_split_anywhere(peer: Peers) -> None:
    whole = answer(b"0123456789", headers="X-Request-Id:  abc \r\nEmpty:\r\n")
    cuts = iter(range(1, len(whole)))

    def script(connection: socket.socket) -> None:
        request(connection)
        cut = next(cuts)
        connection.sendall(whole[:cut])
        # The client has taken the first part, or is about to: either way it has to wait for the second.
        connection.sendall(whole[cut:])

    listening = peer(script)
    for _ in range(1, len(whole)):
        got = get(listening)
        assert (got.status, bytes(got.body), got.request_id) == (200, b"0123456789", "abc")
        assert got.headers["empty"] == ""


def test_a_large_answer_is_read_whole_and_what_follows_is_not(peer: Peers) -> None:
    body = bytes(range(256)) * 20_000

    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(answer(body) + b"more")

    assert get(peer(script)).body == body


GARBAGE = [
    b"\x64\x00\x00\x01 and more\r\n\r\n",
    b"<html>\r\n\r\n",
    b"HTTP/1.1 OK\r\n\r\n",
    b"HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nno length",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: 5\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: repr(garbage[:30]))
def test_garbage_is_not_taken_for_an_answer(peer: Peers, garbage: bytes) -> None:
    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    with pytest.raises(ServerError, match=r"it: what answers at unix:.* is not predictd: "):
        get(peer(script))


@pytest.mark.parametrize("length", range(0, 48, 7))
def test_an_answer_that_breaks_off_says_where(peer: Peers, length: int) -> None:
    whole = answer(b"0123456789")

    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(whole[:length])

    head = len(whole) - 10
    if length == 0:
        expected = "closed the connection without an answer.*log says why"
    elif length < head:
        expected = f"broke off in its head, after {length} bytes"
    else:
        expected = f"broke off after {length - head} of 10 bytes"
    with pytest.raises(ServerError, match=expected):
        get(peer(script))


def test_an_answer_without_end_takes_no_memory(peer: Peers) -> None:
    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n")

    with pytest.raises(ServerError, match="the answer has 999999999999999 bytes"):
        get(peer(script))


def test_memory_grows_with_what_has_come(peer: Peers) -> None:
    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\nx")

    listening = peer(script)
    tracemalloc.start()
    try:
        with pytest.raises(ServerError, match="broke off after 1 of 2000000000 bytes"):
            get(listening)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_answer_that_comes_before_the_body_was_taken_counts(peer: Peers) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(answer(b'{"error": "too large"}', "413 Payload Too Large"))
        connection.recv(1)

    body = [bytes(4_000_000)]
    got = ask(Address(peer(script).address), "POST", "/x", Deadline(PATIENCE, "it"), body=body)
    assert (got.status, bytes(got.body)) == (413, b'{"error": "too large"}')


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"name": 1', b"\xff"])
def test_an_answer_that_is_not_json_is_not_predictds(peer: Peers, body: bytes) -> None:
    for status in ["200 OK", "404 Not Found", "502 Bad Gateway"]:

        def script(connection: socket.socket, status: str = status) -> None:
            request(connection)
            connection.sendall(answer(body, status, "X-Request-Id: abc\r\n"))

        with pytest.raises(ServerError, match="is not predictd's: ") as caught:
            Server(peer(script).address).metadata()
        assert (caught.value.status, caught.value.request_id) == (int(status[:3]), "abc")
