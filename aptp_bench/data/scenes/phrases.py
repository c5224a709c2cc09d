"""The words of the captions: places, actions, plurals and the templates that join them."""

from __future__ import annotations

NUMBERS = {2: "two", 3: "three"}
PLURALS = {"sheep": "sheep", "fish": "fish", "bus": "buses", "butterfly": "butterflies", "broccoli": "broccoli heads"}

WEAR = {"woman": "dress", "skier": "jacket"}

PLACES: dict[str, tuple[str, ...]] = {
    "grass": ("on the green grass", "in a grassy field", "in a green field"),
    "beach": ("on the beach", "on a sandy beach", "on the sand near the water"),
    "snow": ("in the snow", "on a snowy day", "on the snow covered ground"),
    "street": ("on a city street", "on the street", "in front of a building"),
    "sea": ("in the sea", "on the water", "in the blue ocean"),
    "sky": ("under a blue sky", "in front of a blue sky", "against the cloudy blue sky"),
    "savanna": ("in the savanna", "on the dry plains", "near a tree in the dry savanna"),
    "kitchen": ("in a kitchen", "in the kitchen"),
    "living room": ("in a living room", "in the living room", "in a living room with a picture on the wall"),
    "bedroom": ("in a bedroom", "in the bedroom", "in a bedroom by the window"),
    "table": ("on a wooden table", "on a table", "on top of a table"),
    "plain": ("on a white background", "isolated on white background", "on white"),
    "night": ("at night", "in the dark at night", "under the stars at night"),
    "hills": ("on the hills", "on a green hill", "in the hills"),
    "desert": ("in the desert", "on the desert sand", "in a hot desert"),
    "stage": ("on the stage", "on stage"),
}
AIR_PLACES: dict[str, tuple[str, ...]] = {
    "sky": ("in the blue sky", "in the sky", "high in the cloudy sky"),
    "grass": ("over the green grass", "above a green field"),
    "sea": ("over the sea", "above the water", "over the blue ocean"),
    "hills": ("over the hills", "above the green hills"),
    "beach": ("over the beach", "above the beach"),
    "living room": ("on the wall of a living room", "in a living room"),
    "bedroom": ("on the wall of a bedroom", "in a bedroom"),
    "kitchen": ("on the wall of a kitchen", "in a kitchen"),
    "night": ("in the night sky", "at night"),
}
ACTIONS: dict[str, tuple[str, ...]] = {
    "animal": ("standing", "walking"),
    "cat": ("sitting", "sitting down"),
    "bear": ("standing", "sitting"),
    "dog": ("standing", "playing", "walking"),
    "bird": ("flying",),
    "vehicle": ("parked", "driving"),
    "train": ("traveling", "riding on the tracks"),
    "airplane": ("flying",),
    "boat": ("sailing", "floating"),
    "food": ("sitting", "placed"),
    "cake": ("topped with candles", "sitting"),
    "donut": ("covered in sprinkles", "sitting"),
    "street": ("standing",),
    "outdoor": ("standing open", "open"),
    "kite": ("flying",),
    "indoor": ("sitting", "standing"),
    "clock": ("hanging",),
    "vase": ("filled with flowers", "sitting"),
    "laptop": ("sitting open", "sitting"),
    "surfer": ("riding a wave", "surfing"),
    "skier": ("skiing", "skiing down a hill"),
    "skateboarder": ("riding a skateboard", "doing a trick"),
    "tennis player": ("swinging a racket", "hitting a tennis ball"),
}

COUNTER: tuple[str, ...] = ("on a kitchen counter", "on the counter in a kitchen")
UNDER_WATER: tuple[str, ...] = ("in the blue sea", "under water", "in the ocean")

# Of a pair; mirrored, the subject is on the right.
BESIDE: dict[bool, tuple[str, ...]] = {
    False: ("to the left of", "next to", "beside"),
    True: ("to the right of", "next to", "beside"),
}

TEMPLATES: dict[str, tuple[str, ...]] = {
    "coco pair": (
        "{one} {beside} {others} {place}",
        "there {be} {one} {beside} {others} {place}",
        "a photo of {one} {beside} {others} {place}",
        "{one} and {others} {place}",
        "a picture of {one} {beside} {others} {place}",
        "{one} together with {others} {place}",
    ),
    "coco crowd": (
        "{one} with {others} {place}",
        "there {be} {one} with {others} {place}",
        "a photo of {one} with {others} {place}",
        "{one} near {others} {place}",
        "a picture of {one} together with {others} {place}",
        "{one} beside {others} {place}",
    ),
    "cc3m pair": (
        "illustration of {one} {beside} {others} {place}",
        "{one} {beside} {others} {place} , flat design",
        "vector illustration of {one} and {others} {place}",
        "cartoon {one} {beside} {others} {place}",
        "drawing of {one} {beside} {others} {place}",
        "{one} and {others} {place}",
    ),
    "cc3m crowd": (
        "set of icons with {one} , {others} {place}",
        "collection of {one} , {others} {place}",
        "vector illustration of {one} with {others} {place}",
        "cartoon set of {one} with {others} {place}",
        "{one} , {others} {place} , flat design",
        "drawing of {one} with {others} {place}",
    ),
    "coco": (
        "{np} {act} {place}",
        "{np} {place}",
        "there {be} {np} {act} {place}",
        "a photo of {np} {place}",
        "the {tinted} {be} {act} {place}",
        "a picture of {np} {act} {place}",
        "{np} seen {place}",
    ),
    "sport": (
        "{bare} in {a_colour} {wear} {act} {place}",
        "{bare} in {colour} {act} {place}",
        "there {be} {bare} in {a_colour} {wear} {place}",
        "a person in {colour} {act} , a {noun} {place}",
        "a photo of {bare} wearing {a_colour} {wear} {place}",
        "the {noun} in {colour} is {act} {place}",
    ),
    "illustration": (
        "vector illustration of {np} {place}",
        "illustration of {np} {place}",
        "{np} {place} , flat design",
        "cartoon {tinted} {place}",
        "{tinted} icon {place}",
        "drawing of {np} {place}",
    ),
    "portrait": (
        "portrait of a {noun} with {variant} hair in {a_colour} {wear} {place}",
        "a {noun} with {variant} hair wearing {a_colour} {wear} {place}",
        "{noun} in {a_colour} {wear} {place}",
        "young {noun} with {variant} hair in {colour} {place}",
        "close up of a {noun} with {variant} hair in {colour} {place}",
        "portrait of a {variant} haired {noun} in {a_colour} {wear} {place}",
    ),
    "sign": (
        "{place} {np} that says {word}",
        "{np} that says {word} {place}",
        "{tinted} with the word {word} {place}",
        "the word {word} written on {np} {place}",
        "{np} saying {word} {place}",
        "{word} sign in {colour} {place}",
    ),
    "sunset": (
        "{tinted} {over}",
        "beautiful {tinted} {over}",
        "the sun going down {over} in a {colour} sunset",
        "{colour} sky {over} at sunset",
        "a view of the {tinted} {over}",
        "photo of {np} {over}",
    ),
    "skyline": (
        "city skyline {when}",
        "skyline of the city {when}",
        "the skyline of a big city with tall buildings {when}",
        "tall buildings in the city skyline {when}",
        "a view of the city skyline {when}",
        "panorama of the skyline {when}",
    ),
    "mountain": (
        "mountain landscape {ground}",
        "a mountain {ground}",
        "snow capped mountain {ground}",
        "a view of a mountain {ground}",
        "beautiful mountain scenery {ground}",
        "landscape of a high mountain {ground}",
    ),
    "palm tree": (
        "{np} {place}",
        "tropical {noun} {place}",
        "a view of {np} {place}",
        "photo of {np} {place}",
        "summer holiday with {np} {place}",
        "landscape with {np} {place}",
    ),
    "room": (
        "interior of a {setting} with {colour} walls , a bright room",
        "a {setting} with {colour} walls , modern room",
        "{colour} room , {setting} interior",
        "{colour} {setting} , room design",
        "room with {colour} walls in a modern home , {setting}",
        "interior design of a {colour} room , a {setting}",
    ),
    "pattern": (
        "seamless pattern with {colour} {variant}",
        "pattern of {colour} {variant} on a white background",
        "abstract pattern , {colour} {variant} on white",
        "{colour} {variant} wallpaper pattern",
        "{colour} and white pattern with {variant}",
        "background with a pattern of {colour} {variant}",
    ),
    "concert": (
        "crowd at a concert with {colour} lights",
        "a singer performs on stage at a concert under {colour} lights",
        "{colour} lights over the crowd at a concert",
        "concert stage with {colour} lights",
        "a rock concert on a stage with {colour} light and a crowd",
        "fans in front of the stage at a concert , {colour} lights",
    ),
}
OVER: dict[str, tuple[str, ...]] = {
    "sea": ("over the sea", "over the ocean"),
    "hills": ("over the hills", "behind the hills"),
    "desert": ("over the desert", "over the desert dunes"),
    "beach": ("over the beach", "at the beach with a palm tree"),
}
WHEN: dict[str, tuple[str, ...]] = {
    "night": ("at night", "with lights at night"),
    "sky": ("by day", "under a blue sky"),
    "sea": ("by the water", "by the sea"),
}
GROUND: dict[str, tuple[str, ...]] = {
    "grass": ("with a green meadow", "in summer with green grass"),
    "snow": ("in winter snow", "over a field of snow"),
    "sea": ("by a lake", "reflected in a blue lake"),
}
