"""A web server for one connection, which is its input and output: gives one file, from where it is wanted. The first answer breaks off in
the middle, as connections do. Run by the emulator for each connection of the machine in it (`updates.py`).

    shelf.py FILE
"""

import re
import sys
from pathlib import Path

CHUNK_BYTES = 256 * 1024
HEAD_BYTES_MAX = 16 * 1024


def main(path):
    head = b""
    while b"\r\n\r\n" not in head:
        more = sys.stdin.buffer.raw.read(HEAD_BYTES_MAX)
        if not more or len(head) > HEAD_BYTES_MAX:
            return
        head += more
    asked = path.with_suffix(".asked")
    before = asked.read_text().splitlines() if asked.exists() else []
    wanted = re.search(rb"(?im)^range: bytes=(\d+)-", head)
    start, size = int(wanted[1]) if wanted else 0, path.stat().st_size
    asked.write_text("\n".join([*before, f"from {start}"]))
    status = f"206 Partial Content\r\ncontent-range: bytes {start}-{size - 1}/{size}" if wanted else "200 OK"
    out = sys.stdout.buffer
    out.write(f'HTTP/1.1 {status}\r\netag: "{size}"\r\ncontent-length: {size - start}\r\nconnection: close\r\n\r\n'.encode())
    end = size if before else size // 2
    with path.open("rb") as file:
        file.seek(start)
        while file.tell() < end and (chunk := file.read(min(CHUNK_BYTES, end - file.tell()))):
            out.write(chunk)
    out.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
