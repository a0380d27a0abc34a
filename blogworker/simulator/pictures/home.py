"""Drawings of furniture, tableware, plants and food. Each fills a unit box; see `stamp`."""

import math

from blogworker.simulator.pictures.stamp import Stamp


def candle(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.24)
    s.oval((0, 0.80), 0.30, 0.30, p.light, 36)
    s.box(-0.2, 0, 0.2, 0.5, p.base, round_=0.04)
    s.box(0.08, 0, 0.2, 0.5, p.shade, round_=0.04, alpha=150)
    s.box(-0.13, 0.14, 0.13, 0.34, p.light, round_=0.015)
    s.line([(-0.07, 0.27), (0.07, 0.27)], 0.012, p.ink)
    s.line([(-0.05, 0.22), (0.05, 0.22)], 0.008, p.ink)
    s.oval((0, 0.5), 0.2, 0.035, p.accent)
    s.line([(0, 0.5), (0.005, 0.58)], 0.014, p.ink)
    s.poly([(0, 0.56), (0.05, 0.63), (0.035, 0.70), (0, 0.82), (-0.035, 0.70), (-0.05, 0.63)], p.accent)
    s.poly([(0, 0.58), (0.024, 0.63), (0, 0.73), (-0.024, 0.63)], p.light)


def chair(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.32)
    for x0, x1 in ((-0.26, -0.30), (0.24, 0.30)):
        s.line([(x0, 0.42), (x1, 0)], 0.04, p.ink)
    for x0, x1 in ((-0.16, -0.17), (0.16, 0.18)):
        s.line([(x0, 0.42), (x1, 0.06)], 0.03, p.near)
    s.line([(-0.24, 0.42), (-0.29, 0.98)], 0.042, p.ink)
    s.line([(0.22, 0.42), (0.25, 0.98)], 0.042, p.ink)
    s.poly([(-0.30, 0.92), (0.26, 0.92), (0.24, 0.66), (-0.28, 0.66)], p.base)
    s.poly([(-0.02, 0.92), (0.26, 0.92), (0.24, 0.66), (0.0, 0.66)], p.shade, 120)
    s.box(-0.32, 0.38, 0.30, 0.48, p.base, round_=0.04)
    s.box(-0.32, 0.38, 0.30, 0.42, p.shade, round_=0.02)
    s.box(-0.14, 0.46, 0.16, 0.62, p.accent, round_=0.05)


def sofa(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.5)
    s.box(-0.5, 0.06, 0.5, 0.36, p.shade, round_=0.05)
    s.box(-0.44, 0.22, 0.44, 0.60, p.base, round_=0.07)
    s.box(-0.40, 0.14, -0.005, 0.34, p.base, round_=0.05)
    s.box(0.005, 0.14, 0.40, 0.34, p.base, round_=0.05)
    s.box(-0.5, 0.06, -0.38, 0.44, p.shade, round_=0.05)
    s.box(0.38, 0.06, 0.5, 0.44, p.shade, round_=0.05)
    s.box(-0.32, 0.30, -0.10, 0.50, p.accent, round_=0.04)
    s.box(0.14, 0.30, 0.34, 0.48, p.light, round_=0.04)
    for x in (-0.44, 0.42):
        s.box(x, 0, x + 0.03, 0.07, p.ink)


def lamp(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.2)
    s.poly([(-0.22, 0.62), (0.22, 0.62), (0.55, 0.0), (-0.55, 0.0)], p.light, 46)
    s.box(-0.16, 0, 0.16, 0.045, p.ink, round_=0.02)
    s.line([(0, 0.04), (0, 0.66)], 0.03, p.ink)
    s.poly([(-0.14, 0.94), (0.14, 0.94), (0.27, 0.60), (-0.27, 0.60)], p.base)
    s.poly([(0.03, 0.94), (0.14, 0.94), (0.27, 0.60), (0.09, 0.60)], p.shade, 140)
    s.box(-0.27, 0.585, 0.27, 0.61, p.light, round_=0.01)


def plant(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.24)
    for index, angle in enumerate((-62, -38, -18, 4, 24, 46, 66)):
        length = 0.56 - abs(angle) / 260
        s.leaf((0.0, 0.32), angle, length, 0.075, (p.leaf, p.leaf_dark)[index % 2])
    s.poly([(-0.21, 0.38), (0.21, 0.38), (0.15, 0), (-0.15, 0)], p.base)
    s.poly([(0.06, 0.38), (0.21, 0.38), (0.15, 0), (0.05, 0)], p.shade, 150)
    s.box(-0.235, 0.34, 0.235, 0.41, p.base, round_=0.01)
    s.box(-0.235, 0.33, 0.235, 0.35, p.shade)


def vase(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.2)
    for x, y, colour in ((-0.22, 0.84, p.accent), (0.02, 0.94, p.light), (0.22, 0.80, p.accent), (-0.06, 0.76, p.base)):
        s.line([(0, 0.40), (x * 0.7, y - 0.08), (x, y)], 0.012, p.near)
        for turn in range(6):
            angle = turn * math.pi / 3
            s.oval((x + 0.045 * math.cos(angle), y + 0.045 * math.sin(angle)), 0.036, 0.036, colour)
        s.oval((x, y), 0.028, 0.028, p.ink)
    s.leaf((0.02, 0.46), 48, 0.26, 0.04, p.leaf)
    s.leaf((-0.02, 0.46), -52, 0.22, 0.04, p.leaf_dark)
    s.poly(
        [(-0.07, 0.48), (0.07, 0.48), (0.06, 0.38), (0.19, 0.22), (0.13, 0), (-0.13, 0), (-0.19, 0.22), (-0.06, 0.38)],
        p.base,
    )
    s.poly([(0.02, 0.48), (0.07, 0.48), (0.06, 0.38), (0.19, 0.22), (0.13, 0), (0.05, 0), (0.09, 0.22)], p.shade, 140)


def mug(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.28)
    for x, tilt in ((-0.08, 0.03), (0.06, -0.03)):
        s.line([(x, 0.56), (x + tilt, 0.66), (x - tilt, 0.76), (x + tilt, 0.88)], 0.014, p.light)
    s.ring((0.27, 0.27), 0.13, 0.15, 0.05, p.shade)
    s.box(-0.27, 0, 0.25, 0.50, p.base, round_=0.07)
    s.box(0.10, 0, 0.25, 0.50, p.shade, round_=0.07, alpha=130)
    s.oval((-0.01, 0.50), 0.26, 0.05, p.light)
    s.oval((-0.01, 0.495), 0.225, 0.038, p.ink)
    s.box(-0.27, 0.15, 0.25, 0.20, p.accent, alpha=190)


def bottle(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.17)
    s.box(-0.17, 0, 0.17, 0.56, p.base, round_=0.05)
    s.box(0.05, 0, 0.17, 0.56, p.shade, round_=0.05, alpha=140)
    s.poly([(-0.15, 0.54), (0.15, 0.54), (0.06, 0.64), (-0.06, 0.64)], p.base)
    s.box(-0.07, 0.62, 0.07, 0.76, p.ink, round_=0.015)
    s.box(-0.045, 0.75, 0.045, 0.88, p.accent, round_=0.04)
    s.box(-0.125, 0.14, 0.125, 0.40, p.light, round_=0.01)
    s.line([(-0.07, 0.32), (0.07, 0.32)], 0.014, p.ink)
    s.line([(-0.05, 0.26), (0.05, 0.26)], 0.008, p.ink)
    s.leaf((0, 0.16), 0, 0.08, 0.02, p.near)


def jar(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.26)
    s.box(-0.25, 0, 0.25, 0.56, p.light, round_=0.06, alpha=150)
    s.box(-0.22, 0.02, 0.22, 0.44, p.accent, round_=0.05)
    s.box(0.08, 0.02, 0.22, 0.44, p.base, round_=0.05, alpha=130)
    s.box(-0.21, 0.54, 0.21, 0.66, p.base, round_=0.03)
    s.box(0.06, 0.54, 0.21, 0.66, p.shade, round_=0.03)
    s.box(-0.15, 0.16, 0.15, 0.34, p.light, round_=0.01)
    s.line([(-0.09, 0.26), (0.09, 0.26)], 0.014, p.ink)


def bowl(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.34)
    for x, y, r, colour in ((-0.20, 0.40, 0.12, p.accent), (0.02, 0.46, 0.14, p.light), (0.22, 0.40, 0.11, p.near)):
        s.oval((x, y), r, r, colour)
    s.leaf((0.02, 0.56), 30, 0.16, 0.035, p.middle)
    outline = [
        (0.42 * math.cos(a), 0.36 + 0.36 * math.sin(a)) for a in (math.pi + step * math.pi / 20 for step in range(21))
    ]
    s.poly(outline, p.base)
    s.poly([point for point in outline if point[0] > 0.1] + [(0.1, 0.36)], p.shade, 130)
    s.oval((0, 0.36), 0.42, 0.03, p.shade)
    s.box(-0.14, -0.01, 0.14, 0.03, p.shade, round_=0.01)


def loaf(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.46)
    s.box(-0.5, 0, 0.5, 0.06, p.near, round_=0.02)
    s.oval((0, 0.22), 0.40, 0.24, p.crust)
    s.box(-0.40, 0.055, 0.40, 0.20, p.crust, round_=0.05)
    s.oval((0.0, 0.26), 0.36, 0.18, p.light, 60)
    for x in (-0.22, -0.06, 0.10, 0.25):
        s.line([(x - 0.05, 0.24), (x + 0.05, 0.40 - abs(x) * 0.3)], 0.03, p.light)
