"""The shop that the events happen in: its products, and how likely each is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from libs.emulators.events_api import draws

PRODUCTS_PER_WEIGHT = 8
POPULARITY_SLOTS = 1 << 14


@dataclass(frozen=True)
class Category:
    """One category: ``weight`` is its share of views, prices are in cents; a third of all views has no code."""

    weight: int
    code: str | None
    brands: tuple[str | None, ...]
    lowest_cents: int
    highest_cents: int


# Weights, brands and price ranges follow the public REES46 sample of October 2019.
CATEGORIES = (
    Category(120, "electronics.smartphone", ("samsung", "apple", "xiaomi", "huawei", "oppo", None), 4245, 174779),
    Category(90, None, ("lucente", "shiseido", "respect", "sv", None, None), 217, 19999),
    Category(60, None, ("cordiant", "viking", "nokian", "triangle", None), 2702, 39880),
    Category(30, None, ("gran-stone", "luminarc", "leo", None), 463, 169889),
    Category(20, "appliances.environment.air_heater", ("oasis", "elenberg", "electrolux", None), 1027, 9007),
    Category(16, "electronics.audio.headphone", ("apple", "jbl", "sony", "xiaomi"), 2313, 21877),
    Category(15, "computers.notebook", ("acer", "lenovo", "hp", "asus", "apple"), 25174, 151278),
    Category(13, "appliances.kitchen.washer", ("lg", "bosch", "indesit", "samsung"), 10038, 46315),
    Category(12, "computers.desktop", ("pulser", "acer", "hp", None), 7460, 176321),
    Category(10, "appliances.kitchen.refrigerators", ("lg", "beko", "haier", "samsung"), 10193, 124834),
    Category(10, "electronics.clocks", ("casio", "apple", "orient", None), 2497, 120724),
    Category(8, "appliances.environment.water_heater", ("ariston", "aqua", "oasis"), 3063, 63828),
    Category(8, "appliances.environment.vacuum", ("redmond", "vitek", "polaris", "samsung"), 3321, 43578),
    Category(8, "apparel.shoes.keds", ("respect", "nike", "puma", None), 3192, 10785),
    Category(6, "furniture.kitchen.table", ("carver", None), 5660, 34750),
    Category(6, "electronics.video.tv", ("samsung", "lg", "artel", "haier"), 19045, 49131),
    Category(5, "construction.tools.drill", ("makita", "bosch", "stels"), 4827, 15107),
    Category(4, "furniture.living_room.sofa", ("brw", None), 43733, 54310),
    Category(4, "electronics.tablet", ("apple", "samsung", "lenovo"), 5122, 92638),
    Category(3, "kids.toys", ("lego", "bts", None), 463, 9900),
    Category(2, "auto.accessories.player", ("pioneer", "alpine"), 4633, 12356),
)


@dataclass(frozen=True)
class Product:
    """One product; its price never changes, so a purchase total can be checked by hand."""

    product_id: int
    category_id: int
    category_code: str | None
    brand: str | None
    price: Decimal


@dataclass(frozen=True)
class Catalogue:
    """All products, and ``popularity``: a table of product numbers to be drawn from uniformly."""

    products: tuple[Product, ...]
    popularity: tuple[int, ...]


def build(seed: int) -> Catalogue:
    """Build the catalogue of a seed; products of one category are neighbours."""
    family = draws.key("catalogue", seed)
    products: list[Product] = []
    popularity: list[int] = []
    total_weight = sum(category.weight for category in CATEGORIES)
    for category_no, category in enumerate(CATEGORIES):
        first = len(products)
        size = category.weight * PRODUCTS_PER_WEIGHT
        category_id = 2_053_013_550_000_000_000 + draws.below(draws.key("category", seed), category_no, 10**10)
        for product_no in range(first, first + size):
            spread = category.highest_cents - category.lowest_cents
            at = draws.below(family, 2 * product_no, 1 << 16)
            products.append(
                Product(
                    # one in every 9,973 numbers, so no two products share an id
                    product_id=1_000_000 + product_no * 9_973 + draws.below(family, 2 * product_no + 1, 9_973),
                    category_id=category_id,
                    category_code=category.code,
                    brand=category.brands[product_no % len(category.brands)],
                    # squared: cheap ones are common; scaleb keeps the zero of 12.30
                    price=Decimal(category.lowest_cents + (spread * at * at >> 32)).scaleb(-2),
                )
            )
        slots = POPULARITY_SLOTS * category.weight // total_weight
        popularity.extend(first + size * slot * slot // (slots * slots) for slot in range(slots))
    return Catalogue(tuple(products), tuple(popularity))
