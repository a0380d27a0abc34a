"""Drawings of products of the demo's shops. Each fills a unit box; see `stamp`."""

from math import cos, pi, sin

from blogworker.simulator.pictures.palettes import Colour
from blogworker.simulator.pictures.stamp import Stamp

METAL: Colour = (176, 182, 190)  # silver and steel, whatever the palette
GLEAM: Colour = (232, 236, 241)


def stool(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.34)
    s.line([(0.02, 0.50), (0.05, 0.07)], 0.045, p.near)
    for top, foot in ((-0.17, -0.28), (0.17, 0.29)):
        s.line([(top, 0.50), (foot, 0.0)], 0.05, p.shade)
    s.oval((0, 0.52), 0.34, 0.075, p.shade)
    s.oval((0, 0.55), 0.34, 0.075, p.base)
    for x, y in ((-0.16, 0.56), (0.16, 0.56), (0.02, 0.52)):  # the ends of the legs, with their wedges
        s.oval((x, y), 0.034, 0.013, p.light)
        s.line([(x - 0.03, y), (x + 0.03, y)], 0.008, p.accent)


def knife(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.5)
    s.box(-0.5, 0, 0.5, 0.07, p.near, round_=0.02)
    s.poly([(-0.46, 0.13), (-0.38, 0.11), (0.10, 0.11), (0.14, 0.32), (-0.06, 0.32), (-0.30, 0.24)], GLEAM)
    s.poly([(-0.46, 0.13), (-0.38, 0.11), (0.10, 0.11), (0.11, 0.16), (-0.34, 0.155)], METAL)
    s.box(0.12, 0.20, 0.17, 0.33, METAL, round_=0.01)
    s.box(0.16, 0.20, 0.48, 0.31, p.shade, round_=0.04)
    for x in (0.24, 0.40):
        s.oval((x, 0.255), 0.014, 0.014, p.accent)
    for angle, base in ((-50, -0.30), (-15, -0.26), (25, -0.22)):
        s.leaf((base, 0.36), angle, 0.20, 0.04, p.accent)


def bicycle(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.5)
    rear, front, crank, seat, head = (-0.30, 0.20), (0.32, 0.20), (-0.03, 0.20), (-0.13, 0.55), (0.22, 0.56)
    for hub in (rear, front):
        for spoke in range(6):
            x, y = 0.185 * cos(spoke * pi / 6), 0.185 * sin(spoke * pi / 6)
            s.line([(hub[0] - x, hub[1] - y), (hub[0] + x, hub[1] + y)], 0.005, p.middle)
        s.ring(hub, 0.20, 0.20, 0.028, p.ink)
    for start, end in ((rear, crank), (rear, seat), (crank, seat), (crank, head), (seat, head), (head, front)):
        s.line([start, end], 0.030, p.base)
    s.line([seat, (-0.145, 0.62)], 0.022, p.ink)
    s.box(-0.23, 0.61, -0.07, 0.645, p.ink, round_=0.02)
    s.line([head, (0.20, 0.64), (0.30, 0.66)], 0.022, p.ink)
    s.box(-0.50, 0.30, -0.28, 0.50, p.accent, round_=0.03)
    s.ring(crank, 0.05, 0.05, 0.016, p.ink)


def raincoat(s: Stamp) -> None:
    p = s.palette
    s.line([(0, 1.0), (0, 0.92)], 0.014, p.ink)
    s.oval((0, 0.82), 0.15, 0.14, p.shade)
    s.oval((0, 0.80), 0.09, 0.09, p.ink)
    s.poly([(-0.15, 0.80), (-0.31, 0.72), (-0.44, 0.30), (-0.33, 0.26), (-0.25, 0.50), (-0.28, 0.04), (0.28, 0.04),
            (0.25, 0.50), (0.33, 0.26), (0.44, 0.30), (0.31, 0.72), (0.15, 0.80), (0, 0.70)], p.base)  # fmt: skip
    s.poly([(0, 0.70), (0.15, 0.80), (0.31, 0.72), (0.44, 0.30), (0.33, 0.26), (0.25, 0.50), (0.28, 0.04), (0, 0.04)],
           p.shade, 100)  # fmt: skip
    s.line([(0, 0.72), (0, 0.04)], 0.018, p.accent)
    for side in (-1, 1):
        s.line([(side * 0.09, 0.30), (side * 0.20, 0.24)], 0.016, p.accent)


def jersey(s: Stamp) -> None:
    p = s.palette
    s.line([(0, 1.0), (0, 0.92), (-0.24, 0.80)], 0.014, p.ink)
    s.line([(0, 0.92), (0.24, 0.80)], 0.014, p.ink)
    s.poly([(-0.13, 0.86), (-0.30, 0.80), (-0.42, 0.22), (-0.31, 0.19), (-0.23, 0.56), (-0.24, 0.06), (0.24, 0.06),
            (0.23, 0.56), (0.31, 0.19), (0.42, 0.22), (0.30, 0.80), (0.13, 0.86), (0, 0.81)], p.base)  # fmt: skip
    s.poly([(0.04, 0.82), (0.13, 0.86), (0.30, 0.80), (0.42, 0.22), (0.31, 0.19), (0.23, 0.56), (0.24, 0.06),
            (0.08, 0.06)], p.shade, 100)  # fmt: skip
    s.line([(-0.13, 0.86), (0, 0.80), (0.13, 0.86)], 0.026, p.accent)
    s.box(-0.24, 0.06, 0.24, 0.10, p.accent)
    for side in (-1, 1):
        s.line([(side * 0.42, 0.225), (side * 0.31, 0.195)], 0.03, p.accent)


def bangle(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.36)
    s.oval((0, 0.05), 0.42, 0.06, p.near)
    s.oval((0, 0.07), 0.36, 0.045, p.shade)
    s.ring((-0.06, 0.34), 0.25, 0.25, 0.05, METAL)
    s.ring((-0.06, 0.34), 0.24, 0.24, 0.018, GLEAM)
    s.ring((0.26, 0.19), 0.10, 0.10, 0.028, METAL)
    s.ring((0.26, 0.19), 0.095, 0.095, 0.010, GLEAM)
