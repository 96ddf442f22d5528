"""Numbers of the thermostat: published vectors of the hash, layers of the ziggurat, moments."""

import numpy as np
from scipy import stats

from halocline.dynamics.noise import DENSITY, WIDTH, fill_normal, hash_counter


def test_hash_is_splitmix64_without_a_second_key():
    # Published outputs of SplitMix64 seeded with 1234567 (rosettacode.org, "Pseudo-random numbers/Splitmix64").
    seed, zero = np.uint64(1234567), np.uint64(0)
    found = [int(hash_counter(np.uint64(n), seed, zero)) for n in (1, 2, 3, 4, 5)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_layers_of_the_ziggurat_have_equal_areas():
    areas = WIDTH[1:256] * np.diff(DENSITY)[1:]
    np.testing.assert_allclose(areas, WIDTH[0] * DENSITY[1], rtol=1e-11)


def test_noise_is_normal_and_uncorrelated():
    n, seed = 1_000_000, np.uint64(3)
    steps = [np.empty(n) for _ in range(2)]
    for step, out in enumerate(steps):
        fill_normal(out, 0, seed, np.uint64(0), np.uint64(step))
    other = np.empty(n)
    fill_normal(other, 0, seed, np.uint64(1), np.uint64(0))
    x = steps[0]
    moments = np.array([x.mean(), (x**2).mean() - 1.0, (x**3).mean(), (x**4).mean() - 3.0]) * np.sqrt(n / np.array([1.0, 2.0, 15.0, 96.0]))
    np.testing.assert_array_less(np.abs(moments), 4.0)
    assert stats.kstest(x, "norm").pvalue > 1e-3
    # 2 in a thousand lie beyond three standard deviations, 2.6 in ten thousand in the tail of the ziggurat.
    for limit in (3.0, WIDTH[1]):
        expected = 2.0 * stats.norm.sf(limit) * n
        assert abs((np.abs(x) > limit).sum() - expected) < 4.0 * np.sqrt(expected)
    neighbours = [x[:-1] * x[1:], x[:-4] * x[4:], x * steps[1], x[:-1] * steps[1][1:], x * other, (x[:-1] ** 2 - 1) * (x[1:] ** 2 - 1) / 2]
    for product in neighbours:
        assert abs(product.mean()) < 4.0 / np.sqrt(n)
