"""A second, slow implementation of the reference's pictures, from its specification and Python's tarfile; and a PNG
reader. Standard library only."""
import io
import math
import struct
import tarfile
import zlib


def read_png(data):
    """(width, height, rows of RGB bytes) of an 8-bit RGB or palette PNG that is not interlaced."""
    assert data[:8] == b'\x89PNG\r\n\x1a\n', 'not a PNG'
    at, packed, palette = 8, b'', None
    while at < len(data):
        length, kind = struct.unpack('>I4s', data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert struct.unpack('>I', data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body), 'bad CRC'
        if kind == b'IHDR':
            width, height, depth, colour, _, _, interlace = struct.unpack('>IIBBBBB', body)
            assert depth == 8 and interlace == 0 and colour in (0, 2, 3, 6), 'unsupported PNG'
        elif kind == b'PLTE':
            palette = body
        elif kind == b'IDAT':
            packed += body
        at += 12 + length
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    raw, stride = zlib.decompress(packed), width * channels
    rows, before = [], bytearray(stride)
    assert len(raw) == height * (stride + 1), 'wrong number of rows'
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        if kind:
            unfilter(kind, line, before, channels)
        before = line
        if colour == 2:
            rows.append(bytes(line))
        elif colour == 6:
            rows.append(bytes(v for i, v in enumerate(line) if i % 4 != 3))
        elif colour == 3:
            rows.append(b''.join(palette[3 * v:3 * v + 3] for v in line))
        else:
            rows.append(b''.join(bytes((v, v, v)) for v in line))
    return width, height, rows


def unfilter(kind, line, before, bpp):
    for i in range(len(line)):
        a = line[i - bpp] if i >= bpp else 0
        b = before[i]
        c = before[i - bpp] if i >= bpp else 0
        if kind == 1:
            add = a
        elif kind == 2:
            add = b
        elif kind == 3:
            add = (a + b) // 2
        else:
            p = a + b - c
            pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
            add = a if pa <= pb and pa <= pc else b if pb <= pc else c
        line[i] = (line[i] + add) & 255


def hilbert(side):
    points = []
    for p in range(side * side):
        x = y = 0
        t, s = p, 1
        while s < side:
            rx = (t >> 1) & 1
            ry = (t ^ rx) & 1
            if ry == 0:
                if rx == 1:
                    x, y = s - 1 - x, s - 1 - y
                x, y = y, x
            x += s * rx
            y += s * ry
            t >>= 2
            s *= 2
        points.append((y, x))
    return points


def zigzag(side):
    return [(p // side, p % side if p // side % 2 == 0 else side - 1 - p % side) for p in range(side * side)]


def offsets(layout, step, side, n):
    """The byte offsets of each quad's positions."""
    q = side * side
    if layout == 'square':
        d = int(q * (n / q)) / q
        return [[math.floor(p * d + 0) for p in range(q)]]
    if layout == 'unrolled' and not step:
        u = n / (4 * q)
        ends = [(int(k * q * u), int((k + 1) * q * u)) for k in range(4)]
        return [[math.floor(p * ((b - a) / q) + a) for p in range(q)] for a, b in ends]
    t = step or 1
    return [[k * q * t + p * t for p in range(q)] for k in range(max(1, -(-n // (t * q))))]


TYPE_COLOURS = {b'0': 155, b'1': 140, b'2': 125, b'3': 105, b'4': 90, b'5': 75, b'6': 60, b'7': 45}


def members(data):
    """What tarfile sees until it stops or raises."""
    found = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode='r:') as tar:
            for member in tar:
                found.append(member)
    except (tarfile.ReadError, ValueError):
        pass
    return found


def structure(data):
    painted = bytearray(len(data))

    def paint(begin, end, value):
        begin, end = min(begin, len(data)), min(end, len(data))
        painted[begin:end] = bytes([value]) * (end - begin)

    for k, member in enumerate(members(data)):
        paint(member.offset, member.offset_data, TYPE_COLOURS.get(member.type, 0))
        paint(member.offset_data, member.offset_data + member.size, (255, 230, 205, 180)[k % 4])
    return painted


def mask(data, names):
    painted = bytearray(len(data))
    for member in members(data):
        if member.name in names:
            end = min(member.offset_data + member.size, len(data))
            painted[member.offset:end] = b'\xff' * (end - member.offset)
    return painted


def byte_class(b):
    if b in (0, 255):
        return b
    return 55 if 9 <= b <= 13 or 32 <= b <= 126 else 228


PALETTE = {0: (0, 0, 0), 255: (255, 255, 255), 55: (55, 126, 184), 228: (228, 26, 28)}


def entropies(sequence):
    padded = bytes(16) + bytes(sequence) + bytes(16)
    whole = math.log(min(len(sequence), 32)) if len(sequence) > 1 else 0
    shares = []
    for p in range(len(sequence)):
        window = padded[p:p + 32]
        v = [0.0] * 256
        for symbol in set(window):
            c = window.count(symbol) / 32
            v[symbol] = -c * math.log(c)
        halves = []
        for h in (0, 128):
            lanes = v[h:h + 8]
            for k in range(8, 128, 8):
                lanes = [lanes[j] + v[h + k + j] for j in range(8)]
            l = lanes
            halves.append(((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7])))
        shares.append((halves[0] + halves[1]) / whole if whole else 0)
    return shares


def picture(data, side, layout, step, curve, maps, names=None):
    """(width, height, rows of RGB bytes); a mask when names are given."""
    points = hilbert(side) if curve == 'hilbert' else zigzag(side)
    quads = offsets(layout, step, side, len(data))
    painted = mask(data, names) if names is not None else structure(data) if 'structure' in maps else None
    rows = [bytearray(3 * side) for _ in range(side * len(quads))]
    for q, places in enumerate(quads):
        seen = [i for i in places if i < len(data)]
        sample = [data[i] for i in seen]
        channels = []
        for name in maps if names is None else ['mask']:
            if name == 'class':
                channels.append([byte_class(b) for b in sample])
            elif name == 'magnitude':
                channels.append(sample)
            elif name in ('structure', 'mask'):
                channels.append([painted[i] for i in seen])
            else:
                padding = [data[0]] * (len(places) - len(seen)) if step and data else []
                shares = entropies(sample + padding)[:len(seen)]
                channels.append([int(255 * e) for e in shares])
        if len(channels) > 1:
            channels = (channels + [[0] * len(seen)])[:3]
        elif maps == ['class'] and names is None:
            channels = [[PALETTE[v][c] for v in channels[0]] for c in range(3)]
        elif maps == ['entropy'] and names is None:
            channels = [channels[0], [0] * len(seen), [int(255 * e ** 2) for e in shares] if seen else []]
        else:
            channels = channels * 3
        for p in range(len(seen)):
            col, row = points[p]
            rows[q * side + row][3 * col:3 * col + 3] = bytes(c[p] for c in channels)
    return side, side * len(quads), [bytes(r) for r in rows]
