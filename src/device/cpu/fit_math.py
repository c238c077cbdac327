"""Fits the polynomials of tile_math.h: weighted least squares whose weights grow where the error is large
(Lawson's iteration), which tends to the minimax fit. Needs numpy and mpmath; prints C++ literals."""
import mpmath as mp
import numpy as np

mp.mp.dps = 40


def fit(f, degree, xs, weight, rounds=200):
    a = np.array([[x**i for i in range(degree + 1)] for x in xs])
    y = np.array([float(f(mp.mpf(float(x)))) for x in xs])
    w = np.array([float(weight(x)) for x in xs])
    share = np.ones(len(xs)) / len(xs)
    best = (np.inf, None)
    for _ in range(rounds):
        s = np.sqrt(share) * w
        c, *_ = np.linalg.lstsq(a * s[:, None], y * s, rcond=None)
        error = np.abs((a @ c - y) * w)
        if error.max() < best[0]:
            best = (error.max(), c)
        share = share * error / (share * error).sum()
    return best


def show(name, result, single=True):
    literal = (lambda c: "%.9gf" % np.float32(c)) if single else (lambda c: "%.17g" % c)
    print(name, "error %.1e" % result[0], [literal(c) for c in result[1]])


nodes = np.cos(np.pi * (np.arange(300) + 0.5) / 300)
unit = 0.5 + 0.5 * nodes
half_ln2 = float(mp.log(2)) / 2 * 1.001
quarter_pi = float(mp.pi) / 4 * 1.001

show("exp: (exp(r)-1-r)/r^2", fit(lambda r: (mp.exp(r) - 1 - r) / r**2, 5, nodes * half_ln2,
                                  lambda r: abs(r) + 0.01))
lo, hi = 2**-0.5 - 1, 2**0.5 - 1
show("log: (log(1+f)-f+f^2/2)/f^3",
     fit(lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, 8, lo + (hi - lo) * unit,
         lambda f: f * f / (abs(np.log1p(f) / f) + 1e-9)))
show("erf: erf(x)/x in x^2, x < 1",
     fit(lambda s: mp.erf(mp.sqrt(s)) / mp.sqrt(s), 6, unit, lambda s: mp.sqrt(s) / mp.erf(mp.sqrt(s))))
show("erf: -log erfc, 1 < x < 4",
     fit(lambda x: -mp.log(mp.erfc(x)), 7, 1 + 3 * unit, lambda x: mp.erfc(x) / mp.erf(x)))
show("sin: (sin(r)-r)/r^3 in r^2",
     fit(lambda s: (mp.sin(mp.sqrt(s)) - mp.sqrt(s)) / mp.sqrt(s) ** 3, 3, unit * quarter_pi**2,
         lambda s: s + 1e-4))
show("cos: (cos(r)-1+r^2/2)/r^4 in r^2",
     fit(lambda s: (mp.cos(mp.sqrt(s)) - 1 + s / 2) / s**2, 3, unit * quarter_pi**2, lambda s: s * s + 1e-4))
