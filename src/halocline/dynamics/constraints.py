"""Constraints of rigid molecules, one molecule at a time, compiled.

Free flight of a rigid molecule (operator A of g-BAOAB, Leimkuhler and Matthews, Proc. R. Soc. A 472, 20160138 (2016),
doi 10.1098/rspa.2016.0138) is one RATTLE step (Andersen, J. Comput. Phys. 52, 24 (1983)): fly, return to the lengths along
the bonds of before, and take from the velocities what would change the lengths,

    x' = x + h v + sum_k lambda_k grad_k(x)/m,    v' = P(x') (v + (x' - x - h v)/h),

where P projects onto velocities that keep all lengths, orthogonally in the metric of the masses. Three ways to do the same:

* two equal sites at equal distances from an apex (water): SETTLE (Miyamoto and Kollman, J. Comput. Chem. 13, 952 (1992),
  doi 10.1002/jcc.540130805) for x'; for P the multipliers follow from a matrix that is constant for a rigid triangle.
* any other rigid body that is not linear: constraint forces have no moment about the centre of mass, hence x' = Q r for the
  rotation Q with sum m r × Q r = h L. For the unit quaternion (c, s) of Q and the inertia tensor J this is three equations,

      c J s + s × J s = h L/2,    c = sqrt(1 - |s|^2),

  solved by Newton's method (the discrete Moser-Veselov step; McLachlan and Zanna, Found. Comput. Math. 5, 87 (2005),
  doi 10.1007/s10208-004-0118-6). SHAKE converges to the same x' where it converges, which for planar molecules it does not.
  P keeps the momentum and the angular momentum: v = V + omega × r, J omega = L.

``x`` and ``v`` are the (n_atoms, 3) arrays of the whole system; lengths in Å, masses in amu, times in fs.
"""

from __future__ import annotations

import math

import numba

TRIANGLE_PARAMETERS = 11
"""Row of a triangle: r_a, r_b, r_c of SETTLE; m_b/M and m_b/m_a of one base site; the matrix of the multipliers over m_b,
(G M^-1 G^T)^-1/m_b for the lengths ab, ac, bc in that order, as 00, 01, 02, 11, 12, 22."""
LANES = 64
"""Molecules worked on at once by :func:`fly_triangles`."""
_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11 = (k * LANES for k in range(1, 12))
NEWTON_STEPS = 20
_CONVERGED = 1e-30


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def triangle_projection(bx, by, bz, cx, cy, cz, ux, uy, uz, wx, wy, wz, row):  # type: ignore[no-untyped-def]
    """What P adds to the velocities of b and c, six numbers; a gets -m_b/m_a times their sum.

    Args:
        bx, by, bz, cx, cy, cz: b - a and c - a.
        ux, uy, uz, wx, wy, wz: their rates of change.
        row: parameters of the triangle.
    """
    dx, dy, dz = cx - bx, cy - by, cz - bz
    # Rates of the lengths (times the lengths), and the multipliers that cancel them.
    ab = bx * ux + by * uy + bz * uz
    ac = cx * wx + cy * wy + cz * wz
    bc = dx * (wx - ux) + dy * (wy - uy) + dz * (wz - uz)
    kb = row[5] * ab + row[6] * ac + row[7] * bc
    kc = row[6] * ab + row[8] * ac + row[9] * bc
    kd = row[7] * ab + row[9] * ac + row[10] * bc
    return kd * dx - kb * bx, kd * dy - kb * by, kd * dz - kb * bz, -kc * cx - kd * dx, -kc * cy - kd * dy, -kc * cz - kd * dz


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def project_triangle(x, v, a, b, c, row):  # type: ignore[no-untyped-def]
    """P for the triangle with sites a, b, c."""
    ax, ay, az, tx, ty, tz = x[a, 0], x[a, 1], x[a, 2], v[a, 0], v[a, 1], v[a, 2]
    ux, uy, uz, wx, wy, wz = v[b, 0], v[b, 1], v[b, 2], v[c, 0], v[c, 1], v[c, 2]
    px, py, pz, qx, qy, qz = triangle_projection(
        x[b, 0] - ax, x[b, 1] - ay, x[b, 2] - az, x[c, 0] - ax, x[c, 1] - ay, x[c, 2] - az,
        ux - tx, uy - ty, uz - tz, wx - tx, wy - ty, wz - tz, row,
    )  # fmt: skip
    ratio = row[4]
    v[a, 0], v[a, 1], v[a, 2] = tx - ratio * (px + qx), ty - ratio * (py + qy), tz - ratio * (pz + qz)
    v[b, 0], v[b, 1], v[b, 2] = ux + px, uy + py, uz + pz
    v[c, 0], v[c, 1], v[c, 2] = wx + qx, wy + qy, wz + qz


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def settle(bx, by, bz, cx, cy, cz, px, py, pz, qx, qy, qz, row):  # type: ignore[no-untyped-def]
    """Positions of b and c from the centre of mass after SETTLE, six numbers; NaN if the molecule turned too far.

    Args:
        bx, by, bz, cx, cy, cz: b - a and c - a before the flight.
        px, py, pz, qx, qy, qz: the trial positions of b and c from the centre of mass.
        row: parameters of the triangle.
    """
    ra, rb, rc = row[0], row[1], row[2]
    ratio = row[4]
    ax, ay, az = -ratio * (px + qx), -ratio * (py + qy), -ratio * (pz + qz)
    # Axes: Z normal to the old plane, X normal to Z and the new apex, Y = Z × X.
    zx, zy, zz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
    scale = 1.0 / math.sqrt(zx * zx + zy * zy + zz * zz)
    zx, zy, zz = zx * scale, zy * scale, zz * scale
    xx, xy, xz = ay * zz - az * zy, az * zx - ax * zz, ax * zy - ay * zx
    scale = 1.0 / math.sqrt(xx * xx + xy * xy + xz * xz)
    xx, xy, xz = xx * scale, xy * scale, xz * scale
    yx, yy, yz = zy * xz - zz * xy, zz * xx - zx * xz, zx * xy - zy * xx
    xb0, yb0 = xx * bx + xy * by + xz * bz, yx * bx + yy * by + yz * bz
    xc0, yc0 = xx * cx + xy * cy + xz * cz, yx * cx + yy * cy + yz * cz
    za1 = zx * ax + zy * ay + zz * az
    xb1, yb1, zb1 = xx * px + xy * py + xz * pz, yx * px + yy * py + yz * pz, zx * px + zy * py + zz * pz
    xc1, yc1, zc1 = xx * qx + xy * qy + xz * qz, yx * qx + yy * qy + yz * qz, zx * qx + zy * qy + zz * qz
    # Rotations by phi and psi out of the plane follow from the heights, that by theta in it from the missing moment.
    sin_phi = za1 / ra
    cos_phi = math.sqrt(1.0 - sin_phi * sin_phi)
    sin_psi = (zb1 - zc1) / (2.0 * rc * cos_phi)
    cos_psi = math.sqrt(1.0 - sin_psi * sin_psi)
    xb2 = -rc * cos_psi
    middle, tilt = -rb * cos_phi, rc * sin_psi * sin_phi
    yb2, yc2 = middle - tilt, middle + tilt
    alpha = xb2 * (xb0 - xc0) + yb0 * yb2 + yc0 * yc2
    beta = xb2 * (yc0 - yb0) + xb0 * yb2 + xc0 * yc2
    gamma = xb0 * yb1 - xb1 * yb0 + xc0 * yc1 - xc1 * yc0
    square = alpha * alpha + beta * beta
    sin_theta = (alpha * gamma - beta * math.sqrt(square - gamma * gamma)) / square
    cos_theta = math.sqrt(1.0 - sin_theta * sin_theta)
    xb3, yb3 = xb2 * cos_theta - yb2 * sin_theta, xb2 * sin_theta + yb2 * cos_theta
    xc3, yc3 = -xb2 * cos_theta - yc2 * sin_theta, -xb2 * sin_theta + yc2 * cos_theta
    return (
        xb3 * xx + yb3 * yx + zb1 * zx, xb3 * xy + yb3 * yy + zb1 * zy, xb3 * xz + yb3 * yz + zb1 * zz,
        xc3 * xx + yc3 * yx + zc1 * zx, xc3 * xy + yc3 * yy + zc1 * zy, xc3 * xz + yc3 * yz + zc1 * zz,
    )  # fmt: skip


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def fly_triangles(lanes, count, h, row):  # type: ignore[no-untyped-def]
    """A for the time ``h`` of ``count`` molecules of one species, in a form that the compiler turns into vector instructions.

    Args:
        lanes: (12 LANES,) numbers, molecule l in ``lanes[k * LANES + l]``: b - a and c - a (k = 0 to 5) and their rates of change
            (6 to 11) before; what constraints add to the flights of b and c (0 to 5) and to their velocities (6 to 11) after.
            a gets -m_b/m_a times their sum. All are differences, so that rounding does not grow with x.
    """
    inverse, share, ratio = 1.0 / h, row[3], row[4]
    for n in range(count):
        bx, by, bz, cx, cy, cz = lanes[n], lanes[_1 + n], lanes[_2 + n], lanes[_3 + n], lanes[_4 + n], lanes[_5 + n]
        ux, uy, uz, wx, wy, wz = lanes[_6 + n], lanes[_7 + n], lanes[_8 + n], lanes[_9 + n], lanes[_10 + n], lanes[_11 + n]
        px, py, pz, qx, qy, qz = bx + h * ux, by + h * uy, bz + h * uz, cx + h * wx, cy + h * wy, cz + h * wz
        ax, ay, az = share * (px + qx), share * (py + qy), share * (pz + qz)
        px, py, pz, qx, qy, qz = px - ax, py - ay, pz - az, qx - ax, qy - ay, qz - az
        b3x, b3y, b3z, c3x, c3y, c3z = settle(bx, by, bz, cx, cy, cz, px, py, pz, qx, qy, qz, row)
        px, py, pz, qx, qy, qz = b3x - px, b3y - py, b3z - pz, c3x - qx, c3y - qy, c3z - qz
        lanes[n], lanes[_1 + n], lanes[_2 + n], lanes[_3 + n], lanes[_4 + n], lanes[_5 + n] = px, py, pz, qx, qy, qz
        ax, ay, az = ratio * (b3x + c3x), ratio * (b3y + c3y), ratio * (b3z + c3z)
        px, py, pz, qx, qy, qz = inverse * px, inverse * py, inverse * pz, inverse * qx, inverse * qy, inverse * qz
        dx, dy, dz = ratio * (px + qx), ratio * (py + qy), ratio * (pz + qz)
        b4x, b4y, b4z, c4x, c4y, c4z = triangle_projection(
            b3x + ax, b3y + ay, b3z + az, c3x + ax, c3y + ay, c3z + az,
            ux + px + dx, uy + py + dy, uz + pz + dz, wx + qx + dx, wy + qy + dy, wz + qz + dz, row,
        )  # fmt: skip
        lanes[_6 + n], lanes[_7 + n], lanes[_8 + n] = px + b4x, py + b4y, pz + b4z
        lanes[_9 + n], lanes[_10 + n], lanes[_11 + n] = qx + c4x, qy + c4y, qz + c4z


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def centre(values, masses, first, last):  # type: ignore[no-untyped-def]
    """Mass-weighted mean of rows ``first`` to ``last`` (exclusive) of an (n_atoms, 3) array."""
    total = sx = sy = sz = 0.0
    for i in range(first, last):
        m = masses[i]
        total += m
        sx += m * values[i, 0]
        sy += m * values[i, 1]
        sz += m * values[i, 2]
    return sx / total, sy / total, sz / total


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _moments(x, v, masses, first, last, cx, cy, cz, ux, uy, uz):  # type: ignore[no-untyped-def]
    """Inertia tensor xx, xy, xz, yy, yz, zz and angular momentum about the centre of mass (cx, cy, cz) with velocity (ux, uy, uz)."""
    jxx = jxy = jxz = jyy = jyz = jzz = lx = ly = lz = 0.0
    for i in range(first, last):
        m, rx, ry, rz = masses[i], x[i, 0] - cx, x[i, 1] - cy, x[i, 2] - cz
        wx, wy, wz = v[i, 0] - ux, v[i, 1] - uy, v[i, 2] - uz
        jxx += m * (ry * ry + rz * rz)
        jyy += m * (rx * rx + rz * rz)
        jzz += m * (rx * rx + ry * ry)
        jxy -= m * rx * ry
        jxz -= m * rx * rz
        jyz -= m * ry * rz
        lx += m * (ry * wz - rz * wy)
        ly += m * (rz * wx - rx * wz)
        lz += m * (rx * wy - ry * wx)
    return jxx, jxy, jxz, jyy, jyz, jzz, lx, ly, lz


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _solve(a, b, c, d, e, f, g, h, i, x, y, z):  # type: ignore[no-untyped-def]
    """Solution of the matrix with rows (a, b, c), (d, e, f), (g, h, i) for the right-hand side (x, y, z)."""
    p, q, r = e * i - f * h, f * g - d * i, d * h - e * g
    inverse = 1.0 / (a * p + b * q + c * r)
    return (
        inverse * (p * x + (c * h - b * i) * y + (b * f - c * e) * z),
        inverse * (q * x + (a * i - c * g) * y + (c * d - a * f) * z),
        inverse * (r * x + (b * g - a * h) * y + (a * e - b * d) * z),
    )


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def project_body(x, v, masses, first, last):  # type: ignore[no-untyped-def]
    """P for a rigid body that is not linear."""
    cx, cy, cz = centre(x, masses, first, last)
    ux, uy, uz = centre(v, masses, first, last)
    jxx, jxy, jxz, jyy, jyz, jzz, lx, ly, lz = _moments(x, v, masses, first, last, cx, cy, cz, ux, uy, uz)
    ox, oy, oz = _solve(jxx, jxy, jxz, jxy, jyy, jyz, jxz, jyz, jzz, lx, ly, lz)
    for i in range(first, last):
        rx, ry, rz = x[i, 0] - cx, x[i, 1] - cy, x[i, 2] - cz
        v[i, 0] = ux + oy * rz - oz * ry
        v[i, 1] = uy + oz * rx - ox * rz
        v[i, 2] = uz + ox * ry - oy * rx


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def half_rotation(jxx, jxy, jxz, jyy, jyz, jzz, gx, gy, gz):  # type: ignore[no-untyped-def]
    """Vector part s of the quaternion with c J s + s × J s = g, by Newton's method; NaN if there is none nearby."""
    sx, sy, sz = _solve(jxx, jxy, jxz, jxy, jyy, jyz, jxz, jyz, jzz, gx, gy, gz)
    for _ in range(NEWTON_STEPS):
        c = math.sqrt(1.0 - sx * sx - sy * sy - sz * sz)
        kx, ky, kz = jxx * sx + jxy * sy + jxz * sz, jxy * sx + jyy * sy + jyz * sz, jxz * sx + jyz * sy + jzz * sz
        fx, fy, fz = c * kx + sy * kz - sz * ky - gx, c * ky + sz * kx - sx * kz - gy, c * kz + sx * ky - sy * kx - gz
        # Derivative: c J - (J s) s^T/c - [J s]× + [s]× J.
        qx, qy, qz = kx / c, ky / c, kz / c
        dx, dy, dz = _solve(
            c * jxx - qx * sx + sy * jxz - sz * jxy,
            c * jxy - qx * sy + kz + sy * jyz - sz * jyy,
            c * jxz - qx * sz - ky + sy * jzz - sz * jyz,
            c * jxy - qy * sx - kz + sz * jxx - sx * jxz,
            c * jyy - qy * sy + sz * jxy - sx * jyz,
            c * jyz - qy * sz + kx + sz * jxz - sx * jzz,
            c * jxz - qz * sx + ky + sx * jxy - sy * jxx,
            c * jyz - qz * sy - kx + sx * jyy - sy * jxy,
            c * jzz - qz * sz + sx * jyz - sy * jxz,
            fx, fy, fz,
        )  # fmt: skip
        sx, sy, sz = sx - dx, sy - dy, sz - dz
        if dx * dx + dy * dy + dz * dz < _CONVERGED:
            return sx, sy, sz
    return math.nan, math.nan, math.nan


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def fly_body(x, v, masses, first, last, h):  # type: ignore[no-untyped-def]
    """A for the time ``h`` of a rigid body that is not linear; positions become NaN if it turns too far."""
    cx, cy, cz = centre(x, masses, first, last)
    ux, uy, uz = centre(v, masses, first, last)
    jxx, jxy, jxz, jyy, jyz, jzz, lx, ly, lz = _moments(x, v, masses, first, last, cx, cy, cz, ux, uy, uz)
    g = 0.5 * h
    sx, sy, sz = half_rotation(jxx, jxy, jxz, jyy, jyz, jzz, g * lx, g * ly, g * lz)
    c = math.sqrt(1.0 - sx * sx - sy * sy - sz * sz)
    for i in range(first, last):
        rx, ry, rz = x[i, 0] - cx, x[i, 1] - cy, x[i, 2] - cz
        # Q r = r + 2 s × (c r + s × r)
        wx, wy, wz = c * rx + sy * rz - sz * ry, c * ry + sz * rx - sx * rz, c * rz + sx * ry - sy * rx
        dx, dy, dz = 2.0 * (sy * wz - sz * wy), 2.0 * (sz * wx - sx * wz), 2.0 * (sx * wy - sy * wx)
        x[i, 0] += h * ux + dx
        x[i, 1] += h * uy + dy
        x[i, 2] += h * uz + dz
        v[i, 0], v[i, 1], v[i, 2] = ux + dx / h, uy + dy / h, uz + dz / h
    project_body(x, v, masses, first, last)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def tidy_body(x, inverse_masses, first, sites, lengths):  # type: ignore[no-untyped-def]
    """One sweep of SHAKE along the present bonds, so that rounding does not add up over a long run; keeps the centre of mass.

    Args:
        sites: (n_lengths, 2) sites within the molecule. lengths: (n_lengths,).
    """
    for k in range(len(lengths)):
        i, j = first + sites[k, 0], first + sites[k, 1]
        rx, ry, rz = x[i, 0] - x[j, 0], x[i, 1] - x[j, 1], x[i, 2] - x[j, 2]
        excess = rx * rx + ry * ry + rz * rz - lengths[k] * lengths[k]
        scale = 0.5 * excess / (lengths[k] * lengths[k] * (inverse_masses[i] + inverse_masses[j]))
        x[i, 0] -= scale * inverse_masses[i] * rx
        x[i, 1] -= scale * inverse_masses[i] * ry
        x[i, 2] -= scale * inverse_masses[i] * rz
        x[j, 0] += scale * inverse_masses[j] * rx
        x[j, 1] += scale * inverse_masses[j] * ry
        x[j, 2] += scale * inverse_masses[j] * rz
