"""URLs of outputs: what they mean, and what may be wrong with them."""

import os
import re
import socket
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ebpfless_arch.agent.command_line import nearest
from ebpfless_arch.agent.endpoints import Endpoint
from ebpfless_arch.agent.outputs import forms
from ebpfless_arch.agent.outputs.forms import Form
from ebpfless_arch.agent.outputs.posting import Posts, Request
from ebpfless_arch.agent.outputs.ways import Datagrams, Flow, Way
from ebpfless_arch.agent.secrets import read_private
from ebpfless_arch.named import NamedTuple

if TYPE_CHECKING:
    import ssl

_HEADERS_AT_MOST = 16 << 10
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = frozenset(["host", "content-length", "content-type", "transfer-encoding", "connection"])
_LOCAL_LOG = "/dev/log"


class Scheme(NamedTuple):
    """What a scheme means: the port where the URL says none (0: it has to), `carries` is one of _CARRIERS, the kind of socket, and
    the path where the URL has none."""

    carries: str
    port: int = 0
    tls: bool = False
    kind: int = socket.SOCK_STREAM
    path: str = ""


SCHEMES: Dict[str, Scheme] = {
    "unix": Scheme("lines"),
    "tcp": Scheme("lines"),
    "tls": Scheme("lines", tls=True),
    "udp": Scheme("datagrams", kind=socket.SOCK_DGRAM),
    "syslog": Scheme("syslog datagrams", 514, kind=socket.SOCK_DGRAM),
    "syslog+tcp": Scheme("syslog", 514),
    "syslog+tls": Scheme("syslog", 6514, tls=True),
    "http": Scheme("posts", 80, path="/"),
    "https": Scheme("posts", 443, tls=True, path="/"),
    "otlp+http": Scheme("otlp", 4318, path="/v1/logs"),
    "otlp+https": Scheme("otlp", 4318, tls=True, path="/v1/logs"),
}


class Target(NamedTuple):
    """Where messages go (`name`, for people), what they look like, and how they travel: `way` takes a stream that stands.
    `context` is that of TLS, with the name that the certificate has to have."""

    name: str
    endpoint: Endpoint
    kind: int
    form: Form
    way: Callable[[Any], Way]
    context: "Optional[ssl.SSLContext]" = None
    host: str = ""


def target_of(url: str, form: str, host: str) -> Target:
    """What a URL means for lines of a form, text or json, of this host ("": by its own name). Raises ValueError and UsageError,
    which say what is wrong, and OSError for files that cannot be read."""
    parts = urlsplit(url)
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        raise ValueError("there are no outputs of the kind '%s'; there are %s%s"
                         % (url.partition(":")[0], ", ".join(SCHEMES), nearest(parts.scheme, list(SCHEMES))))
    _check(url, parts)
    extras = _extras(parts, scheme)
    endpoint = _endpoint(parts, scheme)
    form_of, way = _CARRIERS[scheme.carries](parts, scheme, form, host or os.uname().nodename, extras)
    if endpoint.path and scheme.carries == "syslog datagrams":
        form_of = forms.local_syslog
    return Target(url.partition("#")[0], endpoint, scheme.kind, form_of, way, _context(scheme, extras), endpoint.host)


def _check(url: str, parts: SplitResult) -> None:
    if not all("!" <= letter <= "~" for letter in url):
        raise ValueError("a URL has printable ASCII characters only")
    if parts.username is not None or parts.password is not None:
        raise ValueError("whoever lists processes can read a password there: put 'Authorization: ...' into a file, and name it by "
                         "#headers=FILE")


def _endpoint(parts: SplitResult, scheme: Scheme) -> Endpoint:
    takes_path = parts.scheme == "unix" or parts.scheme == "syslog" and not parts.netloc
    if takes_path:
        path = parts.path or _LOCAL_LOG
        if parts.netloc or not path.startswith("/") or path == "/":
            raise ValueError("a path is needed, as in unix:///run/collector.sock")
        return Endpoint(path, path=path)
    try:
        port = parts.port or scheme.port
    except ValueError:
        raise ValueError("a port is a number up to 65535")
    if not parts.hostname or not port:
        raise ValueError("say %s://HOST%s" % (parts.scheme, "[:%d]" % scheme.port if scheme.port else ":PORT"))
    if (parts.path.strip("/") or parts.query) and not scheme.path:
        raise ValueError("nothing can follow the port, and there is %s" % (parts.path or "?" + parts.query))
    return Endpoint("%s:%d" % (parts.hostname, port), parts.hostname, port)


# --- what follows # -------------------------------------------------------------------

def _extras(parts: SplitResult, scheme: Scheme) -> Dict[str, str]:
    """Files that a URL names behind its #, of which no server hears."""
    known = (["ca", "cert"] if scheme.tls else []) + (["headers"] if scheme.path else [])
    found = dict(parse_qsl(parts.fragment, keep_blank_values=True))
    if parts.fragment and not found:
        found = {parts.fragment: ""}
    for name, value in found.items():
        if name not in known or not value:
            raise ValueError("#%s: %s" % (name, "known are %s" % ", ".join("#%s=FILE" % each for each in known) if known
                                          else "nothing can follow a # here"))
        if not os.path.isfile(value):
            raise ValueError("#%s=%s: there is no such file" % (name, value))
    return found


def _context(scheme: Scheme, extras: Dict[str, str]) -> "Optional[ssl.SSLContext]":
    if not scheme.tls:
        return None
    from ebpfless_arch.agent import tls  # heavy, and of use for few

    return tls.context_of(extras.get("ca", ""), extras.get("cert", ""))


def _headers(extras: Dict[str, str]) -> Tuple[Tuple[str, str], ...]:
    """The lines of a file of headers, as they are sent with each request."""
    if "headers" not in extras:
        return ()
    text = read_private(extras["headers"], "the file of headers", _HEADERS_AT_MOST).decode("latin-1")
    found: List[Tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ValueError("%s:%d: 'Name: value' is needed%s" % (extras["headers"], number, ", and %s is ours to say" % name
                                                                 if name.lower() in _OWN_HEADERS else ""))
        found.append((name, value.strip()))
    return tuple(found)


# --- what is carried ------------------------------------------------------------------

_Carried = Tuple[Form, Callable[[Any], Way]]


def _lines(parts: SplitResult, scheme: Scheme, form: str, host: str, extras: Dict[str, str]) -> _Carried:
    return forms.line_of, Flow


def _datagrams(parts: SplitResult, scheme: Scheme, form: str, host: str, extras: Dict[str, str]) -> _Carried:
    return forms.bare, Datagrams


def _syslog(parts: SplitResult, scheme: Scheme, form: str, host: str, extras: Dict[str, str]) -> _Carried:
    return forms.counted(forms.syslog(host)), Flow


def _syslog_datagrams(parts: SplitResult, scheme: Scheme, form: str, host: str, extras: Dict[str, str]) -> _Carried:
    return forms.syslog(host), Datagrams


def _posts(parts: SplitResult, scheme: Scheme, form: str, host: str, extras: Dict[str, str]) -> _Carried:
    request = Request(_path(parts, scheme), parts.netloc, _headers(extras),
                      forms.JSON_ARRAY if form == "json" else forms.TEXT_LINES)
    return forms.bare, lambda stream: Posts(stream, request)


def _otlp(parts: SplitResult, scheme: Scheme, form: str, host: str, extras: Dict[str, str]) -> _Carried:
    request = Request(_path(parts, scheme), parts.netloc, _headers(extras), forms.otlp_envelope(host), True)
    return forms.otlp, lambda stream: Posts(stream, request)


def _path(parts: SplitResult, scheme: Scheme) -> str:
    path = parts.path if parts.path not in ("", "/") else scheme.path
    return path + ("?" + parts.query if parts.query else "")


_CARRIERS: Dict[str, Callable[[SplitResult, Scheme, str, str, Dict[str, str]], _Carried]] = {
    "lines": _lines, "datagrams": _datagrams, "syslog": _syslog, "syslog datagrams": _syslog_datagrams, "posts": _posts,
    "otlp": _otlp,
}
