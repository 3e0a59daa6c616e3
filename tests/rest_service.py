"""A small service on this machine that pages, fails, limits, repeats and changes its answers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Asked(NamedTuple):
    """A request: its path, the parameters of its address or body, its headers."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]


class Answer(NamedTuple):
    """An answer: what JSON says or bytes as they are; `cut` announces more bytes than it sends."""

    data: Any
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012
    cut: bool = False


Answering = Callable[[Asked], Answer]


class Service:
    """What was asked, and how it is answered; a test changes `answer` between two runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.answer: Answering = lambda _: Answer([])
        self.first: list[Answer] = []  # these come before `answer` is called

    def reply(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        return self.first.pop(0) if self.first else self.answer(asked)


@contextmanager
def serving() -> Iterator[Service]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            parts = urlsplit(self.path)
            given = parse_qs(parts.query) | parse_qs(self.rfile.read(length).decode())
            params = {name: values[-1] for name, values in given.items()}
            answer = service.reply(Asked(parts.path, params, dict(self.headers)))
            data = answer.data
            body = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body) + answer.cut))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = Service(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
