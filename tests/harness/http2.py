# SPDX-License-Identifier: MIT
"""A gRPC call as bytes, for the load client: HTTP/2 without TLS, headers without Huffman."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
END_STREAM, END_HEADERS = 1, 4
POST, HTTP, PATH, AUTHORITY, CONTENT_TYPE = 3, 6, 4, 1, 31  # HPACK's static table


def frame(kind, flags, stream, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") +
            payload)


def indexed(index):
    return bytes([0x80 | index])


def literal(index, value):
    """A header with a name from the static table, which is not put into the dynamic one."""
    prefix = bytes([index]) if index < 15 else bytes([15, index - 15])
    return prefix + bytes([len(value)]) + value


def unary_call(path, message=b""):
    """Everything that a client sends for one call of that method."""
    headers = (indexed(POST) + indexed(HTTP) + literal(PATH, path) +
               literal(AUTHORITY, b"localhost") + literal(CONTENT_TYPE, b"application/grpc") +
               b"\x00\x02te\x08trailers")
    return (PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, headers) +
            frame(DATA, END_STREAM, 1, b"\0" + len(message).to_bytes(4, "big") + message))


# No more calls on this connection.
FAREWELL = frame(GOAWAY, 0, 0, bytes(8))
