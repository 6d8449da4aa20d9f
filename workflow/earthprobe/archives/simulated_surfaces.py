"""What simulated land covers are made of, and how Sentinel-2 sees it: two tables of facts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

SPECTRA: Mapping[str, Sequence[float]] = {
    # B01, B02, B03, B04, B05, B06, B07, B08, B8A, B09, B11, B12: typical of such surfaces; not measured here.
    "leaf": (170, 200, 420, 220, 760, 2700, 3350, 3450, 3600, 3600, 1600, 700),
    "twigs": (190, 280, 430, 480, 780, 1250, 1400, 1500, 1650, 1650, 1650, 950),
    "needle": (120, 180, 340, 240, 560, 1450, 1700, 1800, 1900, 1900, 1000, 480),
    "grass": (300, 350, 720, 400, 1200, 3400, 4150, 4300, 4450, 4450, 2050, 1050),
    "crop": (260, 310, 640, 350, 1080, 3500, 4450, 4600, 4700, 4700, 1850, 880),
    "straw": (640, 850, 1230, 1460, 1800, 2150, 2300, 2450, 2600, 2600, 3300, 2450),
    "soil": (600, 810, 1080, 1320, 1480, 1580, 1680, 1780, 1900, 1900, 2600, 2200),
    "mud": (350, 450, 620, 700, 820, 900, 960, 1020, 1080, 1050, 900, 650),
    "heath": (210, 290, 440, 460, 800, 1450, 1650, 1800, 1930, 1930, 1750, 1000),
    "shrub": (180, 250, 440, 380, 800, 1650, 1950, 2050, 2200, 2200, 1700, 900),
    "reed": (220, 320, 520, 500, 850, 1550, 1800, 1900, 2050, 2000, 1500, 800),
    "roof": (850, 1050, 1200, 1380, 1520, 1680, 1780, 1900, 1930, 1930, 2000, 1750),
    "asphalt": (600, 700, 800, 850, 920, 1000, 1050, 1120, 1150, 1150, 1300, 1200),
    "concrete": (1700, 2000, 2200, 2350, 2450, 2500, 2560, 2650, 2680, 2680, 2800, 2550),
    "rock": (800, 950, 1120, 1230, 1330, 1420, 1500, 1580, 1640, 1640, 2000, 1800),
    "sand": (1300, 1650, 2150, 2550, 2750, 2850, 2950, 3050, 3150, 3150, 3900, 3400),
    "char": (260, 320, 390, 440, 520, 700, 800, 900, 1000, 1000, 1800, 1750),
    "river": (330, 400, 530, 380, 330, 190, 180, 160, 140, 90, 50, 40),
    "lake": (190, 190, 220, 130, 120, 80, 75, 65, 60, 40, 35, 30),
    "sea": (220, 230, 200, 110, 85, 65, 60, 55, 50, 35, 25, 20),
    "snow": (5000, 5200, 5100, 5100, 5200, 5200, 5100, 5100, 4900, 4800, 450, 400),
    "cloud": (6300, 6500, 6400, 6500, 6700, 6900, 7000, 7100, 7100, 6500, 4600, 3600),
}


class Ground(NamedTuple):
    """What a class of the 43 is made of.

    Attributes:
        shares: of each surface; those of ``field`` are leaf and straw and soil by season.
        contrast: 0 mixes all pixels alike, and 4 makes nearly each of one surface.
    """

    shares: Mapping[str, float]
    contrast: float = 1.2


HARD, TOWN, SOFT = 3.5, 2.6, 0.6

# In torchgeo's order.
GROUNDS = [
    Ground({"roof": 0.42, "asphalt": 0.34, "concrete": 0.08, "leaf": 0.08, "grass": 0.08}, TOWN),
    Ground({"grass": 0.4, "roof": 0.2, "asphalt": 0.12, "concrete": 0.06, "leaf": 0.22}, TOWN),
    Ground({"concrete": 0.22, "roof": 0.22, "asphalt": 0.3, "grass": 0.2, "soil": 0.06}, TOWN),
    Ground({"asphalt": 0.4, "grass": 0.35, "soil": 0.1, "leaf": 0.15}, TOWN),
    Ground({"asphalt": 0.35, "concrete": 0.2, "roof": 0.15, "sea": 0.3}, TOWN),
    Ground({"grass": 0.68, "asphalt": 0.24, "concrete": 0.08}, TOWN),
    Ground({"rock": 0.4, "soil": 0.4, "river": 0.04, "shrub": 0.16}, 2.0),
    Ground({"soil": 0.45, "rock": 0.15, "grass": 0.35, "concrete": 0.05}, 2.0),
    Ground({"soil": 0.6, "concrete": 0.12, "grass": 0.28}, 2.0),
    Ground({"grass": 0.5, "leaf": 0.42, "asphalt": 0.08}, 2.0),
    Ground({"grass": 0.7, "leaf": 0.22, "asphalt": 0.05, "concrete": 0.03}, 2.0),
    Ground({"field": 1.0}, HARD),
    Ground({"field": 0.7, "crop": 0.3}, HARD),
    Ground({"field": 0.5, "crop": 0.3, "mud": 0.2}, HARD),
    Ground({"soil": 0.5, "shrub": 0.3, "grass": 0.2}, 1.2),
    Ground({"leaf": 0.45, "grass": 0.3, "soil": 0.25}, 1.2),
    Ground({"shrub": 0.42, "soil": 0.33, "straw": 0.25}, 1.2),
    Ground({"grass": 0.9, "straw": 0.1}, 1.4),
    Ground({"field": 0.5, "soil": 0.2, "shrub": 0.3}, HARD),
    Ground({"field": 0.5, "grass": 0.3, "leaf": 0.12, "roof": 0.05, "asphalt": 0.03}, HARD),
    Ground({"field": 0.35, "grass": 0.25, "leaf": 0.3, "heath": 0.1}, HARD),
    Ground({"straw": 0.5, "shrub": 0.35, "grass": 0.15}, 1.2),
    Ground({"leaf": 1.0}, SOFT),
    Ground({"needle": 0.9, "heath": 0.1}, SOFT),
    Ground({"needle": 0.45, "leaf": 0.55}, 1.5),
    Ground({"grass": 0.5, "straw": 0.3, "heath": 0.15, "rock": 0.05}, 1.0),
    Ground({"heath": 0.8, "grass": 0.2}, 1.0),
    Ground({"shrub": 0.75, "straw": 0.25}, 1.0),
    Ground({"needle": 0.25, "leaf": 0.25, "heath": 0.3, "grass": 0.2}, 1.6),
    Ground({"sand": 0.85, "sea": 0.07, "straw": 0.08}, 1.6),
    Ground({"rock": 0.9, "heath": 0.1}, 1.2),
    Ground({"rock": 0.45, "straw": 0.35, "soil": 0.2}, 1.2),
    Ground({"char": 0.7, "straw": 0.15, "shrub": 0.15}, 1.4),
    Ground({"reed": 0.72, "lake": 0.12, "grass": 0.16}, 1.4),
    Ground({"heath": 0.6, "reed": 0.32, "lake": 0.08}, 1.2),
    Ground({"reed": 0.6, "mud": 0.3, "sea": 0.1}, 1.6),
    Ground({"river": 0.6, "mud": 0.25, "sand": 0.15}, HARD),
    Ground({"mud": 0.7, "sea": 0.3}, 1.6),
    Ground({"river": 1.0}),
    Ground({"lake": 1.0}),
    Ground({"lake": 0.6, "river": 0.4}, SOFT),
    Ground({"river": 0.6, "sea": 0.4}, SOFT),
    Ground({"sea": 1.0}),
]
