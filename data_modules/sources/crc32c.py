"""CRC-32C (Castagnoli), the checksum of TFRecord files.  [RFC 3720, appendix B.4]

A CRC is linear over the field of two elements, so that the parts of a message can be summed up separately: the register
after A and B is that after A, moved on by as many zero bytes as B has, plus that of B alone. So all lanes of a long
message go through the table together, a byte of each at a time, and neighbours are then joined two by two.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from einops import rearrange

POLYNOMIAL = 0x82F63B78
"""Reflected: the lowest bit is the highest power."""
LANE_POWER = 8
LANE = 1 << LANE_POWER
ONES = 0xFFFFFFFF
MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes | memoryview) -> int:
    """The checksum of `data`; 0xE3069283 of b"123456789"."""
    head = len(data) % LANE
    register = _one_by_one(bytes(data[:head]), ONES)
    lanes = (len(data) - head) // LANE
    if lanes:
        register = _move(register, lanes) ^ _lanes_together(np.frombuffer(data, np.uint8, offset=head))
    return register ^ ONES


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as TFRecord files hold it: turned by 15 bits, and a constant added."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + MASK_DELTA) & ONES


def _one_by_one(data: bytes, register: int) -> int:
    table = _table().tolist()
    for byte in data:
        register = table[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register


def _lanes_together(data: np.ndarray) -> int:
    """The register after `data`, (lanes * LANE,) uint8, from 0."""
    table = _table()
    columns = rearrange(data, "(lane byte) -> byte lane", byte=LANE)
    registers = np.zeros(columns.shape[1], dtype=np.uint32)
    for column in np.ascontiguousarray(columns):
        registers = table[(registers ^ column) & 0xFF] ^ (registers >> 8)
    power = LANE_POWER
    while len(registers) > 1:
        if len(registers) % 2:
            registers = np.concatenate([np.zeros(1, np.uint32), registers])  # zeros before a message change nothing
        pairs = rearrange(registers, "(pair half) -> half pair", half=2)
        registers = _apply(_zeros(power), pairs[0]) ^ pairs[1]
        power += 1
    return int(registers[0])


def _move(register: int, lanes: int) -> int:
    """The register after as many zero bytes as `lanes` lanes have."""
    value = np.array([register], dtype=np.uint32)
    for bit in range(lanes.bit_length()):
        if lanes >> bit & 1:
            value = _apply(_zeros(LANE_POWER + bit), value)
    return int(value[0])


@cache
def _table() -> np.ndarray:
    """(256,) what the register's lowest byte leaves behind when it is shifted out."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


@cache
def _zeros(power: int) -> np.ndarray:
    """(4, 256) what 2^`power` zero bytes make of a register, by each of its bytes."""
    if power == 0:
        places = np.arange(256, dtype=np.uint32) << (8 * np.arange(4, dtype=np.uint32))[:, None]
        return _table()[places & 0xFF] ^ (places >> 8)
    return _apply(_zeros(power - 1), _zeros(power - 1))


def _apply(tables: np.ndarray, registers: np.ndarray) -> np.ndarray:
    first, second, third, fourth = (tables[place][registers >> 8 * place & 0xFF] for place in range(4))
    return first ^ second ^ third ^ fourth
