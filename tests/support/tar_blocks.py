"""Tar archives laid out by hand, block by block: what no tar program would write."""

END = bytes(1024)


def filled(content: bytes) -> bytes:
    """Fill up to a whole number of blocks."""
    return content + bytes(-len(content) % 512)


def header(name: bytes = b"cat/a.wav", size: int | bytes = 0, kind: bytes = b"0") -> bytes:
    """Make the header of a member; `size` as bytes is put there as it is."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[257:265] = b"0000644\0", b"ustar\x0000"
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    block[124 : 124 + len(field)] = field
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(content: bytes, name: bytes = b"cat/a.wav", kind: bytes = b"0") -> bytes:
    """Make a member with its content."""
    return header(name, len(content), kind) + filled(content)


def record(key: bytes, value: bytes) -> bytes:
    """Make a record of a pax header, whose first number counts all of it, that number too."""
    length = rest = len(key) + len(value) + 3
    while length != rest + len(str(length)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
