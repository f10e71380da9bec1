"""Values that arXiv 2103.11349 prints for Omniglot, which our measurements are compared with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Printed:
    """A row of Table 1: 32 latent dimensions, test images."""

    nelbo: float  # nats
    kl: float  # nats
    mi: float  # nats; very likely estimated in batches of 50, for it stops near log 50
    au: int  # dimensions whose posterior mean has a variance above 0.01


TABLE_1 = {
    "vae_noanneal": Printed(88.79, 1.10, 1.08, 2),
    "vae": Printed(88.91, 2.12, 1.83, 6),
    "aggressive": Printed(88.71, 1.80, 1.64, 5),
    "aggressive_noanneal": Printed(88.84, 2.38, 2.28, 6),
    "beta_vae_0.9": Printed(89.42, 5.48, 3.32, 27),
    "beta_vae_0.8": Printed(90.92, 16.25, 3.86, 32),
    "beta_vae_0.7": Printed(93.65, 27.56, 3.87, 32),
    "beta_vae_0.6": Printed(96.77, 37.12, 3.87, 32),
    "beta_vae_0.5": Printed(100.62, 46.37, 3.87, 32),
    "nevae_se": Printed(89.57, 2.55, 2.39, 26),
    "nevae_lp_5.0": Printed(88.93, 2.01, 1.33, 6),
    "nevae_lp_3.0": Printed(88.89, 1.75, 1.19, 6),
    "nevae_lp_1.0": Printed(88.96, 1.69, 0.47, 6),
    "nevae_lp_0.1": Printed(89.61, 3.40, 0.81, 28),
    "nevae_lp_0.0": Printed(89.64, 4.02, 0.87, 22),
    "nevae_lp_-0.1": Printed(89.89, 5.23, 1.21, 28),
    "nevae_lp_-1.0": Printed(94.33, 19.28, 3.71, 32),
    "nevae_lp_-3.0": Printed(122.03, 60.03, 3.87, 32),
    "nevae_lp_-5.0": Printed(148.33, 87.50, 3.87, 32),
}

TABLE_2 = {  # active units by model and number of latent dimensions; 32 as in Table 1
    "vae": {8: 5, 16: 7, 32: 6, 64: 4},
    "aggressive": {8: 7, 16: 7, 32: 5, 64: 4},
    "nevae_se": {8: 8, 16: 12, 32: 26, 64: 55},
}

SECTION_5_4 = {  # steps of Adam until the loss of the latent search no longer falls (threshold 0)
    "vae": 26_900,
    "aggressive": 35_900,
    "beta_vae_0.9": 21_600,
    "nevae_se": 16_200,
}
