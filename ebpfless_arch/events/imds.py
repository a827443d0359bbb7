"""Requests to the metadata service of a cloud machine, and its answers: HTTP/1.x, as much of it as is needed.

A secret is never taken out of a message: no token, no key but its public id.
"""

from typing import Dict, List, Optional, Tuple

from ebpfless_arch.named import NamedTuple

REQUEST, RESPONSE = "request", "response"

_HEAD_AT_MOST = 8192
_LINES_AT_MOST = 100
_VALUE_AT_MOST = 1024
# Few programs ever ask such a service: `re`, and what it makes of these, is there with the first message.
_REQUEST_LINE = rb"([A-Z]{3,16}) (\S{1,4096}) HTTP/1\.[0-9]$"
_STATUS_LINE = rb"HTTP/1\.[0-9] [1-5][0-9][0-9](?: |$)"
_AWS_URL = r"/(?:latest|[12][0-9]{3}-[01][0-9]-[0-3][0-9])/"
_CREDENTIAL = rb'"(Code|Type|AccessKeyId|LastUpdated|Expiration)"\s*:\s*"([^"\\]{0,256})"'

# Headers by which a message tells whose service it is meant for, with what their value has to be ("" for any).
_OWN_HEADERS = (("x-aws-ec2-metadata-token", "", "aws"), ("x-aws-ec2-metadata-token-ttl-seconds", "", "aws"),
                ("server", "ec2ws", "aws"), ("metadata-flavor", "google", "gcp"), ("metadata-flavor", "ibm", "ibm"),
                ("server", "metadata server for vm", "gcp"), ("metadata", "true", "azure"),
                ("server", "microsoft-iis", "azure"), ("authorization", "bearer oracle", "oracle"))
_OWN_URLS = (("/computeMetadata/", "gcp"), ("/metadata/instance", "azure"), ("/metadata/identity", "azure"),
             ("/opc/", "oracle"), ("/instance_identity/", "ibm"))
_TOKEN_HEADERS = ("x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds")


class Credentials(NamedTuple):
    """What an answer says of AWS credentials, but for the secret parts; "" where it does not."""

    code: str
    type: str
    access_key_id: str
    last_updated: str
    expiration: str


NO_CREDENTIALS = Credentials("", "", "", "", "")


class Message(NamedTuple):
    """A request or an answer. `url` is what the request asks for, as it stands there. `provider` is aws, gcp, azure,
    oracle, ibm or "", `token` tells whether AWS's version 2 is spoken, with tokens."""

    type: str
    provider: str
    url: str
    host: str
    user_agent: str
    server: str
    token: bool
    credentials: Credentials


def parse(data: bytes) -> Optional[Message]:
    """The message that begins with these bytes, None for anything else."""
    import re

    head, _, body = data.partition(b"\r\n\r\n")
    lines = head[:_HEAD_AT_MOST].split(b"\r\n")[:_LINES_AT_MOST]
    asked = re.match(_REQUEST_LINE, lines[0])
    if asked is None and not re.match(_STATUS_LINE, lines[0]):
        return None
    headers = _headers(lines[1:])
    url = _text(asked.group(2)) if asked else ""
    return Message(REQUEST if asked else RESPONSE, _provider(headers, url), url, headers.get("host", ""),
                   headers.get("user-agent", ""), "" if asked else headers.get("server", ""),
                   any(name in headers for name in _TOKEN_HEADERS),
                   NO_CREDENTIALS if asked else _credentials(body))


def _headers(lines: List[bytes]) -> Dict[str, str]:
    """Header fields by their names in lower case."""
    found: Dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(_text(name).lower(), _text(value.strip())[:_VALUE_AT_MOST])
    return found


def _provider(headers: Dict[str, str], url: str) -> str:
    for name, word, provider in _OWN_HEADERS:
        if headers.get(name, "").lower().startswith(word) and name in headers:
            return provider
    for start, provider in _OWN_URLS:
        if url.startswith(start):
            return provider
    import re

    return "aws" if re.match(_AWS_URL, url) else ""


def _credentials(body: bytes) -> Credentials:
    found: Dict[bytes, str] = {name: _text(value) for name, value in _pairs(body)}
    if b"AccessKeyId" not in found:
        return NO_CREDENTIALS
    names = (b"Code", b"Type", b"AccessKeyId", b"LastUpdated", b"Expiration")
    return Credentials(*[found.get(name, "") for name in names])


def _pairs(body: bytes) -> List[Tuple[bytes, bytes]]:
    import re

    return [(match.group(1), match.group(2)) for match in re.finditer(_CREDENTIAL, body[:_HEAD_AT_MOST])]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
