"""Damage to files, seeded: the same number makes the same mutant on every machine."""

import random
import struct
from collections.abc import Callable, Sequence

HEAD = 256  # bytes, among which every second change is made: there stand sizes and counts
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
FORMS = ("<H", ">H", "<I", ">I", "<Q", ">Q")
TEXTS = (
    *(b"", b"-1", b"9" * 30, b"9" * 5000, b"1e308", b"nan", b"\0", b"\xff\xfe", b"\n", b'"', b","),
    *(b"[" * 400, b"{" * 400),
)

Change = Callable[[bytearray, random.Random], None]


def _place(content: bytearray, chance: random.Random) -> int:
    return chance.randrange(min(len(content), HEAD) if chance.random() < 0.5 else len(content)) if content else 0


def _part(content: bytearray, chance: random.Random) -> slice:
    first = _place(content, chance)
    return slice(first, first + int(2 ** chance.uniform(0, 16)))


def flip_bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(int(2 ** chance.uniform(0, 5))):
        if content:
            content[_place(content, chance)] ^= 1 << chance.randrange(8)


def put_number(content: bytearray, chance: random.Random) -> None:
    form, place = chance.choice(FORMS), _place(content, chance)
    number = chance.choice((*EDGES, len(content), len(content) - place, chance.getrandbits(64)))
    told = struct.pack(form, number % 256 ** struct.calcsize(form))
    content[place : place + len(told)] = told


def put_text(content: bytearray, chance: random.Random) -> None:
    place = _place(content, chance)
    content[place : place + chance.choice((0, 1, 4))] = chance.choice(TEXTS)


def cut(content: bytearray, chance: random.Random) -> None:
    del content[_place(content, chance) :]


def take_out(content: bytearray, chance: random.Random) -> None:
    del content[_part(content, chance)]


def repeat(content: bytearray, chance: random.Random) -> None:
    place = _place(content, chance)
    content[place:place] = content[_part(content, chance)] * chance.choice((1, 1, 2, 5))


def put_noise(content: bytearray, chance: random.Random) -> None:
    part = _part(content, chance)
    content[part] = chance.randbytes(part.stop - part.start)


def put_zeros(content: bytearray, chance: random.Random) -> None:
    part = _part(content, chance)
    content[part] = bytes(part.stop - part.start)


CHANGES: tuple[Change, ...] = (
    *(flip_bits, flip_bits, put_number, put_number, put_number, put_text),
    *(cut, take_out, repeat, put_noise, put_zeros),
)


def mutant(seeds: Sequence[bytes], number: int) -> bytes:
    """Make the mutant of that number: one of the `seeds`, changed one to four times, at times by a part of another."""
    chance = random.Random(number)
    content = bytearray(seeds[number % len(seeds)])
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        if chance.random() < 0.1:
            place = _place(content, chance)
            content[place:] = chance.choice(seeds)[place:]
        else:
            chance.choice(CHANGES)(content, chance)
    return bytes(content)
