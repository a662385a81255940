#!/usr/bin/python3
"""usage: render_numpy.py FILE LAYOUT STEP OUTPUT

The alternative that `render` is compared with: the same picture (size 1024, hilbert, class+magnitude+structure) in the
way one would write it with numpy, tarfile and Pillow, whole arrays at a time. OUTPUT "-" leaves the PNG out.
"""
import sys
import tarfile

import numpy as np
from PIL import Image

SIDE = 1024
TYPES = {b'0': 155, b'1': 140, b'2': 125, b'3': 105, b'4': 90, b'5': 75, b'6': 60, b'7': 45}


def hilbert(side):
    t = np.arange(side * side, dtype=np.int64)
    x, y, s = np.zeros_like(t), np.zeros_like(t), 1
    while s < side:
        rx = (t >> 1) & 1
        ry = (t ^ rx) & 1
        flip = (ry == 0) & (rx == 1)
        x, y = np.where(flip, s - 1 - x, x), np.where(flip, s - 1 - y, y)
        x, y = np.where(ry == 0, y, x), np.where(ry == 0, x, y)
        x, y, t, s = x + s * rx, y + s * ry, t >> 2, s * 2
    return x * side + y  # row * side + col: x and y are exchanged


def structure(path, n):
    painted = np.zeros(n, np.uint8)
    with tarfile.open(path, 'r:') as tar:
        for k, member in enumerate(tar):
            painted[member.offset:member.offset_data] = TYPES.get(member.type, 0)
            painted[member.offset_data:member.offset_data + member.size] = (255, 230, 205, 180)[k % 4]
            tar.members = []
    return painted


def main():
    path, layout, step, output = sys.argv[1:]
    step = 1 if layout == 'unrolled_n' else int(step)
    data = np.fromfile(path, np.uint8)
    classes = np.full(256, 228, np.uint8)
    classes[[0, 255]] = 0, 255
    classes[9:14] = classes[32:127] = 55
    magnitude = data[::step]
    painted = structure(path, len(data))[::step]
    pixels, quads = SIDE * SIDE, -(-len(magnitude) // (SIDE * SIDE))
    place = hilbert(SIDE)
    picture = np.zeros((quads * pixels, 3), np.uint8)
    for q in range(quads):
        part = slice(q * pixels, min((q + 1) * pixels, len(magnitude)))
        where = place[:part.stop - part.start] + q * pixels
        picture[where, 0] = classes[magnitude[part]]
        picture[where, 1] = magnitude[part]
        picture[where, 2] = painted[part]
    if output != '-':
        Image.fromarray(picture.reshape(quads * SIDE, SIDE, 3)).save(output)


main()
