"""TLS over a stream that nobody waits for, by the standard library (PEP 543's predecessor: ssl.SSLObject, PEP 3156)."""

import socket
import ssl
from typing import Optional

from ebpfless_arch.agent.stream import Stream

_PORTION = 64 << 10


def context_of(authorities: str, certificate: str) -> ssl.SSLContext:
    """What a client asks of a server: a certificate for its name, of one of the system's authorities or of those in the file
    `authorities`. The file `certificate` holds our own with its key, "" for none. Raises OSError, ValueError for wrong files."""
    try:
        context = ssl.create_default_context(cafile=authorities or None)
    except ssl.SSLError:
        raise ValueError("%s holds no certificates (PEM)" % authorities)
    try:
        if certificate:
            context.load_cert_chain(certificate)
    except ssl.SSLError:
        raise ValueError("%s does not hold a certificate with its key (PEM)" % certificate)
    return context


class TlsStream:
    """As a Stream, once `greet` has said that it stands. Errors are OSError."""

    def __init__(self, plain: Stream, context: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._plain.fileno()

    @property
    def socket(self) -> socket.socket:
        """The socket itself."""
        return self._plain.socket

    @property
    def waiting(self) -> int:
        """Bytes that the other end has not taken."""
        return self._plain.waiting

    @property
    def produced(self) -> int:
        """Bytes that were to be sent until now, as they are on the wire."""
        return self._plain.produced

    @property
    def events(self) -> int:
        """What poll(2) is to look for."""
        return self._plain.events

    def greet(self) -> bool:
        """Go on with the greeting; True when it is done."""
        self._take_in()
        try:
            self._tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        except (ssl.CertificateError, ssl.SSLError) as error:
            raise OSError(_in_words(error))
        finally:
            self._give_out()

    def _take_in(self) -> bool:
        """What has arrived goes to TLS; False at the end."""
        data = self._plain.receive()
        if data:
            self._incoming.write(data)
        elif data is not None:
            self._incoming.write_eof()
        return data != b""

    def _give_out(self) -> None:
        if self._outgoing.pending:
            self._plain.send(self._outgoing.read())

    def receive(self) -> Optional[bytes]:
        """What has arrived; None where nothing has, b"" at the end."""
        goes_on = self._take_in()
        try:
            return self._tls.read(_PORTION)
        except ssl.SSLWantReadError:
            return None if goes_on else b""
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""
        except ssl.SSLError as error:
            raise OSError(_in_words(error))
        finally:
            self._give_out()

    def send(self, data: bytes) -> None:
        """Send, now or when there is room."""
        self._tls.write(data)
        self._give_out()

    def flush(self) -> bool:
        """Send what the other end takes now; whether that was anything."""
        return self._plain.flush()

    def finish(self) -> None:
        """Tell the other end that nothing follows."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # its own word is not waited for
        self._give_out()
        self._plain.finish()

    def close(self) -> None:
        """The end of it."""
        self._plain.close()


def _in_words(error: Exception) -> str:
    """What went wrong, without numbers of lines in OpenSSL; an untrusted certificate with what to do about it."""
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error)
    text = reason.replace("_", " ").lower() if reason.isupper() or "_" in reason else reason
    if isinstance(error, ssl.CertificateError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "its certificate is not accepted: %s (authorities besides the system's are named by #ca=FILE)" % text
    return "TLS: %s" % text
