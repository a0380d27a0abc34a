"""Drawings of objects for work and leisure. Each fills a unit box; see `stamp`."""

from blogworker.simulator.pictures.stamp import Stamp


def book(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.42)
    for low, left, right, colour in (
        (0, -0.40, 0.38, p.near),
        (0.11, -0.36, 0.40, p.base),
        (0.22, -0.38, 0.32, p.accent),
    ):
        s.box(left, low, right, low + 0.11, colour, round_=0.012)
        s.box(left + 0.05, low + 0.018, right, low + 0.092, p.light)
        s.box(left, low, left + 0.07, low + 0.11, colour, round_=0.012)
    s.poly([(-0.26, 0.33), (0.18, 0.33), (0.30, 0.72), (-0.14, 0.72)], p.shade)
    s.poly([(-0.22, 0.35), (0.18, 0.35), (0.28, 0.70), (-0.12, 0.70)], p.base)
    s.line([(-0.02, 0.58), (0.16, 0.58)], 0.016, p.light)
    s.line([(-0.03, 0.52), (0.10, 0.52)], 0.010, p.light)
    s.line([(0.26, 0.36), (0.40, 0.78)], 0.022, p.accent)


def laptop(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.46)
    s.box(-0.36, 0.10, 0.36, 0.62, p.ink, round_=0.025)
    s.box(-0.335, 0.125, 0.335, 0.595, p.light)
    s.box(-0.29, 0.42, -0.02, 0.54, p.base, round_=0.015)
    for y in (0.35, 0.29, 0.23):
        s.line([(-0.29, y), (0.02, y)], 0.014, p.middle)
    s.oval((0.18, 0.36), 0.11, 0.11, p.accent)
    s.poly([(-0.46, 0.0), (0.46, 0.0), (0.40, 0.10), (-0.40, 0.10)], p.shade)
    s.box(-0.46, 0, 0.46, 0.03, p.near, round_=0.012)


def gift(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.34)
    s.box(-0.32, 0, 0.32, 0.46, p.base, round_=0.015)
    s.box(0.08, 0, 0.32, 0.46, p.shade, round_=0.015, alpha=140)
    s.box(-0.35, 0.42, 0.35, 0.54, p.base, round_=0.015)
    s.box(-0.05, 0, 0.05, 0.54, p.accent)
    s.ring((-0.11, 0.61), 0.11, 0.075, 0.03, p.accent)
    s.ring((0.11, 0.61), 0.11, 0.075, 0.03, p.accent)
    s.oval((0, 0.57), 0.04, 0.04, p.light)


def shop(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.46)
    s.box(-0.42, 0, 0.42, 0.62, p.light)
    s.box(-0.34, 0.08, 0.06, 0.42, p.middle)
    s.box(0.14, 0, 0.34, 0.42, p.near)
    s.oval((0.31, 0.2), 0.014, 0.014, p.accent)
    s.line([(-0.14, 0.08), (-0.14, 0.42)], 0.014, p.light)
    for index in range(8):
        left = -0.48 + index * 0.12
        colour = p.base if index % 2 else p.accent
        s.poly([(left + 0.02, 0.66), (left + 0.10, 0.66), (left + 0.12, 0.48), (left, 0.48)], colour)
        s.oval((left + 0.06, 0.48), 0.06, 0.035, colour)
    s.box(-0.42, 0.66, 0.42, 0.78, p.near, round_=0.015)
    s.line([(-0.2, 0.72), (0.2, 0.72)], 0.03, p.light)


def tent(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.5)
    s.poly([(-0.5, 0), (-0.06, 0.62), (0.5, 0)], p.base)
    s.poly([(-0.06, 0.62), (0.5, 0), (0.16, 0)], p.shade)
    s.poly([(-0.06, 0.62), (0.14, 0), (-0.26, 0)], p.ink)
    s.poly([(-0.06, 0.60), (-0.26, 0), (-0.16, 0)], p.accent)
    s.line([(-0.06, 0.62), (-0.02, 0.70)], 0.014, p.ink)


def blocks(s: Stamp) -> None:
    p = s.palette
    s.shadow(0.42)
    s.box(-0.40, 0, -0.10, 0.30, p.base, round_=0.02)
    s.box(-0.06, 0, 0.24, 0.30, p.accent, round_=0.02)
    s.box(-0.24, 0.30, 0.06, 0.60, p.near, round_=0.02)
    s.poly([(-0.26, 0.60), (0.08, 0.60), (-0.09, 0.82)], p.base)
    s.oval((0.36, 0.10), 0.10, 0.10, p.light)
    s.oval((-0.25, 0.15), 0.07, 0.07, p.light)
    s.poly([(0.03, 0.08), (0.15, 0.08), (0.09, 0.22)], p.light)
