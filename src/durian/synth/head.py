"""The head of one person: its surface, solved once, and what attributes ask of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32, Int32
from numba import njit

from durian.synth import fields
from durian.synth.fields import CENTRE_Y, JIT
from durian.synth.identity import Identity

COLUMNS, ROWS = 129, 113  # of the grid; one more row is the mouth's, which is there twice
LAT_LOW, LAT_HIGH = -1.50, 1.56


@dataclass(frozen=True)
class Grid:
    """The head's surface as rows of latitude by columns of longitude, closer together on the face.

    Row `mouth` and the next have the same latitude: the upper row belongs to the lower lip.
    """

    lons: Float[np.ndarray, " w"]
    lats: Float[np.ndarray, " h"]
    mouth: int
    radius: Float32[np.ndarray, "h w"]

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.radius.shape
        return rows, columns


class Head:
    """Answers geometric questions about one identity's head, in head space.

    Longitude 0 is the front, positive to the image's right; latitude is positive upwards; both in
    radians, as seen from (0, CENTRE_Y, 0). All queries take and give arrays of any matching shape.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.shape = shape_vector(identity)
        self.eye_x = identity.eyes.x
        self.eye_y = identity.eyes.y
        self.eye_z = fields.EYE_Z
        self.eye_radius = identity.eyes.radius
        self.brow_y = identity.brows.height
        self.mouth_y = identity.lips.height
        self.mouth_lon = identity.lips.width
        self.neck_width = identity.jaw.neck_width
        self.shoulders = identity.jaw.shoulders
        self.mouth_z = float(self._traced_front(np.zeros(1), np.full(1, self.mouth_y))[0])
        self.mouth_lat = math.atan2(self.mouth_y - CENTRE_Y, self.mouth_z)
        self.grid = _solve_grid(self)
        ear_lon = 1.66
        ear_radius = float(self.radius(np.array(ear_lon), np.array(0.05)))
        self.ear = np.array([math.sin(ear_lon) * ear_radius, -0.06, math.cos(ear_lon) * ear_radius])
        """Middle of the ear at the image's right; the other one is its mirror image in x."""
        self.ear_size = identity.ears.size

    def radius(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Distance of the surface from the centre, lips included."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        grid = self.grid
        flat = _interpolate(grid.lons, grid.lats, grid.radius, lon.ravel(), lat.ravel())
        return flat.reshape(lon.shape)

    def surface(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the surface."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        return self.point(lon, lat, self.radius(lon, lat))

    @staticmethod
    def point(lon: np.ndarray, lat: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """Points (..., 3) at given distances from the centre."""
        across = np.cos(lat) * radius
        out = np.empty((*across.shape, 3), np.float32)
        out[..., 0] = np.sin(lon) * across
        out[..., 1] = CENTRE_Y + np.sin(lat) * radius
        out[..., 2] = np.cos(lon) * across
        return out

    @staticmethod
    def angles(points: Float[np.ndarray, "*n 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of points."""
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        return np.arctan2(x, z), np.arctan2(y - CENTRE_Y, np.hypot(x, z))

    def front_z(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """z of the surface in front of (x, y), without the lips' relief."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        return self._traced_front(x.ravel(), y.ravel()).reshape(x.shape)

    def _traced_front(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return fields.front_depths(np.ascontiguousarray(x), np.ascontiguousarray(y), self.shape)

    def skull_distance(self, points: Float[np.ndarray, "*n 3"]) -> np.ndarray:
        """Signed distance to the head without features, good enough to collide hair with.

        In numba loops call `fields.skull_distance(x, y, z, head.shape)`.
        """
        flat = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        return fields.skull_distances(flat, self.shape).reshape(points.shape[:-1])

    def body_distance(self, points: Float[np.ndarray, "*n 3"]) -> np.ndarray:
        """Signed distance to neck and shoulders; in numba loops `fields.body_distance`."""
        flat = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        return fields.body_distances(flat, self.shape).reshape(points.shape[:-1])

    def hairline(self, lon: np.ndarray) -> np.ndarray:
        """Latitude above which the scalp grows hair."""
        away = np.abs(np.asarray(lon, np.float64))
        line = np.interp(away, _HAIRLINE_LON, _HAIRLINE_LAT)
        return line + self.identity.skull.hairline * np.clip(3 - 2 * away, 0, 1)

    def scalp(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """How far above the hairline a direction is, in radians; negative on face and neck."""
        return np.asarray(lat, np.float64) - self.hairline(lon)

    def beard(self, lon: np.ndarray, lat: np.ndarray, kind: str) -> np.ndarray:
        """Where beard grows, in [0, 1]; `kind` is "full", "goatee", "moustache" or "chin"."""
        lips = self.identity.lips
        away = np.abs(np.asarray(lon, np.float64))
        across, above = away / self.mouth_lon, np.asarray(lat, np.float64) - self.mouth_lat
        lat = above + self.mouth_lat
        cheek_line = -0.42 + 0.36 * _step(0.35, 1.25, away)
        full = (
            (1 - _step(cheek_line - 0.05, cheek_line + 0.06, lat))
            * (1 - _step(1.35, 1.5, away))
            * _step(-1.35, -1.1, lat)
        )
        lip_top = lips.upper * 0.75 * np.clip(1 - across**2, 0, 1) ** 0.8
        moustache = (
            _step(0.02, 0.05, above - lip_top)
            * (1 - _step(0.13, 0.20, above + 0.07 * across))
            * (1 - _step(1.05, 1.25, across))
        )
        sides = (
            _step(0.98, 1.15, across)
            * (1 - _step(1.4, 1.6, across))
            * (1 - _step(0.08, 0.16, above))
            * _step(-0.45, -0.3, above)
        )
        chin = (1 - _step(-0.17, -0.12, above)) * (1 - _step(1.0, 1.35, across)) * _step(-1.3, -1.1, lat)
        off_lips = ~((across < 1.03) & (above < 0.05) & (above > -lips.lower * 1.15 - 0.02))
        parts = {
            "full": np.maximum(np.maximum(full, sides) * off_lips, moustache),
            "goatee": np.maximum(np.maximum(chin, sides) * off_lips, moustache),
            "moustache": moustache,
            "chin": chin * off_lips,
        }
        return parts[kind]


# From the middle of the forehead past temple, sideburn and ear to the nape.
_HAIRLINE_LON = (0.0, 0.5, 0.95, 1.25, 1.45, 1.6, 1.95, 2.3, 3.15)
_HAIRLINE_LAT = (0.92, 0.91, 0.62, 0.12, -0.08, 0.2, -0.15, -0.42, -0.46)


def shape_vector(identity: Identity) -> Float[np.ndarray, " 26"]:
    """What `durian.synth.fields` needs to know of an identity, in the order of `fields.Shape`."""
    skull, jaw, nose, eyes = identity.skull, identity.jaw, identity.nose, identity.eyes
    return np.array(
        [
            *(skull.width, skull.height, skull.depth),
            *(jaw.width, jaw.height, jaw.chin_width, jaw.chin_height, jaw.chin_forward),
            *(jaw.cheek_size, jaw.cheek_height, skull.brow_ridge, skull.forehead),
            *(eyes.x, eyes.y, eyes.radius),
            *(nose.height, nose.width, nose.tip_radius, nose.up, nose.bridge, nose.ala),
            *(identity.lips.height, identity.lips.forward),
            *(jaw.fullness, jaw.neck_width, jaw.shoulders),
        ],
        np.float64,
    )


@cache
def grid_triangles(rows: int, columns: int) -> Int32[np.ndarray, "t 3"]:
    """Triangles of a grid of vertices in row-major order, counter-clockwise where rows go up; shared."""
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]).ravel()
    b, c, d = a + 1, a + columns, a + columns + 1
    triangles = np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).astype(np.int32)
    triangles.flags.writeable = False
    return triangles


def _solve_grid(head: Head) -> Grid:
    lons = _spread(COLUMNS, -np.pi, np.pi, lambda x: 0.33 + np.exp(-((x / 0.75) ** 4)))
    lons = (lons - lons[::-1]) / 2
    mouth = head.mouth_lat
    lats = _spread(
        ROWS,
        LAT_LOW,
        LAT_HIGH,
        lambda x: 0.33 + np.exp(-(((x + 0.25) / 0.65) ** 4)) + np.exp(-(((x - mouth) / 0.09) ** 2)),
    )
    row = int(np.argmin(np.abs(lats - mouth)))
    lats[row] = mouth
    radius = fields.radius_grid(lons, lats, head.shape)
    lats = np.insert(lats, row, mouth)
    radius = np.insert(radius, row, radius[row], axis=0)
    # Far from the mouth there is no relief to work out.
    i = slice(*np.searchsorted(lats, (mouth - 0.6, mouth + 0.6)))
    j = slice(*np.searchsorted(lons, (-1.0, 1.0)))
    upper = np.arange(len(lats))[i, None] > row
    radius[i, j] += _lip_relief(head, lons[None, j], lats[i, None] - mouth, upper)
    return Grid(lons, lats, row, radius)


def _lip_relief(head: Head, lon: np.ndarray, above: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """What lips, their parting line, the philtrum and the fold above the chin add to the radius."""
    lips = head.identity.lips
    across = np.abs(lon) / head.mouth_lon
    inside = np.clip(1 - across**2, 0, 1)
    height_up = lips.upper * inside**0.8 * (1 - 0.2 * np.exp(-((lon / 0.05) ** 2))) + 1e-3
    height_low = lips.lower * inside**0.6 + 1e-3
    roll_up = np.sin(np.clip(above / height_up / 1.15, 0, 1) * np.pi) ** 0.8 * 0.036 * inside
    roll_low = np.sin(np.clip(-above / height_low / 1.15, 0, 1) * np.pi) ** 0.8 * 0.048 * inside
    parting = -0.030 * np.exp(-((above / 0.02) ** 2)) * (1 - np.clip((across - 1) / 0.15, 0, 1))
    philtrum = -0.014 * np.exp(-((lon / 0.04) ** 2) - ((above - 0.14) / 0.06) ** 2)
    chin_fold = -0.025 * np.exp(-(((above + 0.2) / 0.05) ** 2) - (lon / 0.25) ** 2)
    return np.where(upper, roll_up, roll_low) + parting + philtrum + chin_fold


def _spread(count: int, low: float, high: float, density) -> np.ndarray:
    """`count` values from low to high, as close together as `density` asks."""
    x = np.linspace(low, high, 2000)
    mass = np.cumsum(density(x))
    mass = (mass - mass[0]) / (mass[-1] - mass[0])
    return np.interp(np.linspace(0, 1, count), mass, x)


def _step(low: float | np.ndarray, high: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@njit(**JIT)
def _interpolate(lons, lats, values, lon, lat):
    out = np.empty(lon.size, np.float64)
    for i in range(lon.size):
        turned = (lon[i] + math.pi) % (2 * math.pi) - math.pi
        c = min(max(np.searchsorted(lons, turned) - 1, 0), lons.size - 2)
        r = min(max(np.searchsorted(lats, lat[i]) - 1, 0), lats.size - 2)
        u = (turned - lons[c]) / (lons[c + 1] - lons[c])
        v = min(max((lat[i] - lats[r]) / max(lats[r + 1] - lats[r], 1e-9), 0.0), 1.0)
        low = values[r, c] * (1 - u) + values[r, c + 1] * u
        high = values[r + 1, c] * (1 - u) + values[r + 1, c + 1] * u
        out[i] = low * (1 - v) + high * v
    return out
