"""CRC-32C bit by bit, as its definition says: division by a polynomial."""


def crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0x82F63B78 if register & 1 else register >> 1
    return register ^ 0xFFFFFFFF
