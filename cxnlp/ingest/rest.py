"""Ask a REST service for its records, page by page.

Comes in: a source with `rest`, where to start, the secrets. Goes out: the records of each page,
as the service gave them. Left out: what they mean (`mapping`), which of them are new (`fetch`).

A page is asked for again when the service is busy (429, 5xx) or cannot be reached, after the time
that it names (`Retry-After`) or a growing one with a random part. Tokens go to the one server that
the configuration names: redirects and addresses of other servers are refused. A message names
the address without its parameters, never a header, never what the service said.
"""

import json
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from cxnlp.config_sources import VARIABLE, Rest, Source
from cxnlp.errors import SourceError
from cxnlp.ingest.known import Start
from cxnlp.ingest.records import ABSENT, reach
from cxnlp.ingest.secret import Secrets
from cxnlp.ingest.values import dates
from cxnlp.version import __version__

LIMIT: Final = 64 << 20  # bytes of a page, unpacked
ISO: Final = "%Y-%m-%dT%H:%M:%SZ"
_BUSY: Final = (429, 500, 502, 503, 504)
_SAME: Final = 3  # equal pages in a row, after which the service ignores what page is asked for

Params = dict[str, str]


class _Page(NamedTuple):
    body: bytes
    link: str | None


def read_pages(source: Source, rest: Rest, start: Start, secrets: Secrets) -> Iterator[list[Any]]:
    """Yield the records of each page; raises `SourceError` when one does not come.

    A failure that may pass has an `OSError` as its cause.
    """
    with secrets.out_of_logs(), _Service(source, rest, secrets) as service:
        yield from _pages(service, source, rest, start, secrets)


def _pages(
    service: "_Service", source: Source, rest: Rest, start: Start, secrets: Secrets
) -> Iterator[list[Any]]:
    first = _params(rest, start, secrets)
    address, params, last, same = rest.url, dict(first), b"", 1
    went: set[Any] = set()
    read = 0
    for number in range(1, rest.max_pages + 1):
        page = service.ask("GET", address, number, params=params)
        same = same + 1 if sha256(page.body).digest() == last else 1
        last = sha256(page.body).digest()
        data = service.parsed(page.body, number)
        records = service.records(data, number)
        yield records
        read += len(records)
        if _all_older(records, source, rest, start):
            return
        follows = _following(rest, page, data, records, number, read)
        if follows is None:
            return
        if follows in went or (same == _SAME and records):
            service.fail(number, "comes again and again; check `pages:`")
        went.add(follows)
        if rest.pages and rest.pages.by in ("address", "link"):
            address, params = service.beside(address, str(follows), number), {}
            asked = parse_qs(urlsplit(address).query)
            kept = [n for n in first if VARIABLE.search(rest.params[n]) and n not in asked]
            params = {name: first[name] for name in kept}
        elif rest.pages and rest.pages.param:
            params[rest.pages.param] = str(follows)
        time.sleep(rest.pause)
    service.fail(
        rest.max_pages, "is not the last; narrow `params:` or raise `max_pages`, 10000 if left out"
    )


def _params(rest: Rest, start: Start, secrets: Secrets) -> Params:
    """Return the parameters of the first page; those of `:since` only if there is a start."""
    since = start.written(rest.since.format or ISO)
    params = {
        name: secrets.fill(value.replace(":since", since or ""))
        for name, value in rest.params.items()
        if since is not None or ":since" not in value
    }
    if rest.pages and rest.pages.param and rest.pages.by in ("number", "offset"):
        params[rest.pages.param] = str(rest.pages.first if rest.pages.by == "number" else 0)
    return params


def _following(
    rest: Rest, page: _Page, data: Any, records: list[Any], number: int, read: int
) -> Any:
    """Return the number, offset, cursor or address of the next page; None after the last."""
    pages = rest.pages
    if pages is None or (pages.size and len(records) < pages.size):
        return None
    if pages.by in ("number", "offset"):
        following = pages.first + number if pages.by == "number" else read
        return following if records else None
    if pages.by == "link":
        return page.link
    found = reach(data, pages.path or "")
    return None if found is ABSENT or not found else str(found)


def _all_older(records: list[Any], source: Source, rest: Rest, start: Start) -> bool:
    """Whether a service that gives the newest first has come to what is known already."""
    if not (rest.since.newest_first and start.moment and records):
        return False
    cells = [reach(record, rest.since.newest_first) for record in records]
    cells = [None if cell is ABSENT else cell for cell in cells]
    moments, _ = dates(cells, source.timezone, source.date_format)
    oldest = start.moment.timestamp() * 1_000_000
    return all(moment is not None and moment < oldest for moment in moments)


class _Service:
    """A session with one server: it keeps the connection, the headers and the way to retry."""

    def __init__(self, source: Source, rest: Rest, secrets: Secrets) -> None:
        self._source, self._rest, self._secrets = source, rest, secrets
        retry = Retry(
            total=rest.retries, status_forcelist=_BUSY, allowed_methods={"GET", "POST"},
            backoff_factor=1, backoff_jitter=1, backoff_max=rest.wait_max,
            retry_after_max=int(rest.wait_max), raise_on_status=False,
        )  # fmt: skip
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))
        self._session.auth = _as_it_is
        self._session.headers.update({"User-Agent": f"cxnlp/{__version__}"})
        self._session.headers.update({n: secrets.fill(v) for n, v in rest.headers.items()})
        if rest.oauth:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"

    def __enter__(self) -> "_Service":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def ask(self, method: str, address: str, number: int, **given: Params) -> _Page:
        """Return a page, whole."""
        for left in range(self._rest.retries, -1, -1):
            try:
                return self._asked(method, address, number, given)
            except _BrokenOffError:
                if not left:
                    break
        self.fail(number, "breaks off in the middle, or takes longer than `timeout`", passes=True)

    def parsed(self, body: bytes, number: int) -> Any:
        """Return what JSON says."""
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            pass
        self.fail(number, "is not JSON; check `url:`")

    def records(self, data: Any, number: int) -> list[Any]:
        """Return the list of records of an answer."""
        at = self._source.records
        items = reach(data, at) if at else data
        if isinstance(items, list):
            return items
        inner = data.items() if isinstance(data, dict) else ()
        lists = [name for name, value in inner if isinstance(value, list)]
        if at and isinstance(data, dict) and not lists:
            return []  # where there is nothing, some services leave out the list
        where = f"`records: {at}`" if at else "the top level; say where it is with `records:`"
        self.fail(
            number, f"has no list of records at {where} (lists: {', '.join(lists) or 'none'})"
        )

    def beside(self, address: str, other: str, number: int) -> str:
        """Return the full address of the next page, which the same server must have."""
        ours, theirs = urlsplit(address), urlsplit(urljoin(address, other))
        if theirs.netloc != ours.netloc:
            self.fail(number, f"leads to another server, {theirs.hostname}; not followed")
        return theirs._replace(scheme=ours.scheme).geturl()

    def fail(self, number: int, why: str, *, passes: bool = False) -> NoReturn:
        """Raise what went wrong with a page; `passes`: a later try may succeed."""
        message = self._secrets.hide(
            f"source {self._source.name}: {self._rest.url}: page {number} {why}. "
            "Nothing of this fetch was kept; the next run asks for all of it again"
        )
        raise SourceError(message) from (OSError("the service did not answer") if passes else None)

    def _asked(self, method: str, address: str, number: int, given: dict[str, Params]) -> _Page:
        """Return an answer of status 200."""
        why, status, found, body = "", 0, _Page(b"", None), bytearray()
        until = time.monotonic() + self._rest.timeout
        try:
            with self._session.request(
                method, address, timeout=self._rest.timeout, allow_redirects=False, stream=True,
                params=given.get("params"), data=given.get("data"),
            ) as answer:  # fmt: skip
                status = answer.status_code
                until = max(until, time.monotonic() + self._rest.timeout)
                for block in answer.iter_content(1 << 16) if status == 200 else ():
                    body += block
                    if len(body) > LIMIT or time.monotonic() > until:
                        break
                found = _Page(bytes(body), answer.links.get("next", {}).get("url"))
        except (requests.RequestException, HTTPError, OSError) as error:
            why = type(error).__name__
        if why and status:
            raise _BrokenOffError
        if why:
            self.fail(number, f"cannot be had ({why}); check `url:` and the network", passes=True)
        if len(body) > LIMIT:
            self.fail(number, f"is larger than {LIMIT >> 20} MB; ask for fewer records a page")
        if time.monotonic() > until:
            raise _BrokenOffError
        if status != 200:
            self.fail(number, *_meaning(status), passes=status in _BUSY)
        return found

    def _token(self) -> str:
        """Return a short-lived token."""
        oauth = self._rest.oauth
        if oauth is None:
            raise RuntimeError("there is no oauth section")
        data = {name: self._secrets.fill(value) for name, value in oauth.data.items()}
        page = self.ask("POST", oauth.url, 0, data=data)
        answer = self.parsed(page.body, 0)
        token = reach(answer, "access_token")
        if not isinstance(token, str) or not token:
            self.fail(0, "(oauth) has no access_token; check `oauth:`")
        self._secrets.add(token)
        return token


class _BrokenOffError(Exception):
    """An answer began and did not come to its end."""


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Leave the headers alone: without this, requests would take a password from ~/.netrc."""
    return request


def _meaning(status: int) -> tuple[str]:
    """Return what a status says, and what to do.

    >>> _meaning(401)
    ('is refused (401); check the token in the environment, and its rights',)
    """
    advice = {
        401: "is refused (401); check the token in the environment, and its rights",
        403: "is refused (403); check the token in the environment, and its rights",
        404: "is not there (404); check `url:`",
        429: "is refused for asking too often (429); raise `pause:`, or run later",
    }
    if 300 <= status < 400:
        return (f"is answered by a redirect ({status}), not followed; write the new address",)
    if status in _BUSY:
        return (advice.get(status, f"fails at the service ({status}); run later"),)
    return (advice.get(status, f"is answered by {status}; check `url:` and `params:`"),)
