"""Russian as far as captions need it: cases, numbers, and what agrees with what.

A caption counts ("пять синих машин"), relates ("кот слева от машины") and dresses
("собака в короне"), so a name must be put into six forms. A name is *adjectives, one
head noun, a frozen rest*: "летучая **мышь**", "**стакан** молока". Adjectives agree
with the head; the rest never changes.

The endings follow the school grammar (three declensions, hard and soft stems, the
spelling rules after к г х ж ш ч щ ц). What no rule gives, fleeting vowels, masculine
nouns in -ь, nouns without plural, stands in the tables below.

Which number a numeral asks for are the CLDR plural rules for ``ru``
(``one``: 1, 21, 31 …; ``few``: 2-4, 22-24 …; ``many``: the others): "одна машина",
"две машины" (genitive singular), "пять машин" (genitive plural).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

Case = Literal["nom", "gen", "acc", "ins", "pre"]
Number = Literal["sg", "pl"]
Gender = Literal["m", "f", "n", "pl"]

COLOURS = {
    "red": "красный",
    "orange": "оранжевый",
    "yellow": "жёлтый",
    "green": "зелёный",
    "blue": "синий",
    "purple": "фиолетовый",
    "pink": "розовый",
    "brown": "коричневый",
    "black": "чёрный",
    "white": "белый",
    "grey": "серый",
}
_NUMERALS = {
    1: "один",
    2: "два",
    3: "три",
    4: "четыре",
    5: "пять",
    6: "шесть",
    7: "семь",
    8: "восемь",
    9: "девять",
    10: "десять",
}

_MASCULINE_SOFT = frozenset(
    (  # noqa: SIM905 - a list of words
        "медведь пудель олень голубь лебедь гусь тюлень зверь конь "
        "якорь корабль автомобиль пельмень камень корень парень король картофель "
        "календарь портфель фонарь день огонь руль гвоздь ноготь лось дождь коктейль "
        "крендель тополь уголь словарь рояль журавль гость кремль букварь"
    ).split()
)
_FIXED = frozenset(
    (  # noqa: SIM905 - a list of words
        "кенгуру фламинго манго киви авокадо брокколи тако буррито онигири такси "
        "каноэ йо-йо кимоно пальто метро радио какао кофе эскимо пианино банджо "
        "суши меню НЛО пони колибри шимпанзе"
    ).split()
)
"""Nouns with one form; neuter, or masculine for animals and кофе."""
_FIXED_MASCULINE = frozenset(
    "кенгуру фламинго кофе пони шимпанзе".split()  # noqa: SIM905
)
_ONLY_PLURAL = {
    "очки": ("очков", "очками", "очках"),
    "часы": ("часов", "часами", "часах"),
    "джинсы": ("джинсов", "джинсами", "джинсах"),
    "шорты": ("шортов", "шортами", "шортах"),
    "ножницы": ("ножниц", "ножницами", "ножницах"),
    "наушники": ("наушников", "наушниками", "наушниках"),
}
"""genitive, instrumental, prepositional"""
_STEMS = {
    "лев": "льв",
    "замок": "замк",
    "орёл": "орл",
    "осёл": "осл",
    "муравей": "муравь",
    "воробей": "воробь",
    "цветок": "цветк",
    "росток": "ростк",
    "початок": "початк",
    "огурец": "огурц",
    "ленивец": "ленивц",
    "леденец": "леденц",
    "огонёк": "огоньк",
    "подарок": "подарк",
    "кубок": "кубк",
    "клубок": "клубк",
    "свиток": "свитк",
    "мелок": "мелк",
    "молоток": "молотк",
    "камень": "камн",
    "кусок": "куск",
    "горшок": "горшк",
    "рожок": "рожк",
    "мешок": "мешк",
    "ботинок": "ботинк",
    "кошелёк": "кошельк",
    "щенок": "щенк",
    "перец": "перц",
    "заяц": "зайц",
    "корень": "корн",
    "день": "дн",
    "огонь": "огн",
    "шатёр": "шатр",
    "ковёр": "ковр",
}
"""Masculine stems whose vowel flees: кусок, but куска."""
_GENITIVE_PLURAL = {
    "яблоко": "яблок",
    "яйцо": "яиц",
    "облако": "облаков",
    "солнце": "солнц",
    "сердце": "сердец",
    "кольцо": "колец",
    "дерево": "деревьев",
    "мороженое": "мороженых",
    "печенье": "печений",
    "привидение": "привидений",
    "растение": "растений",
    "чудовище": "чудовищ",
    "ведро": "вёдер",
    "ухо": "ушей",
    "лицо": "лиц",
    "крыло": "крыльев",
    "перо": "перьев",
    "окно": "окон",
    "зеркало": "зеркал",
    "кресло": "кресел",
    "письмо": "писем",
    "копьё": "копий",
    "платье": "платьев",
    "ружьё": "ружей",
    "глаз": "глаз",
    "цветок": "цветов",
    "стул": "стульев",
    "друг": "друзей",
    "лист": "листьев",
    "цыплёнок": "цыплят",
    "мишка": "мишек",
    "дедушка": "дедушек",
    "мужчина": "мужчин",
    "змея": "змей",
    "свинья": "свиней",
    "сова": "сов",
    "овца": "овец",
    "пчела": "пчёл",
    "звезда": "звёзд",
    "свеча": "свечей",
    "кость": "костей",
    "бутылочка": "бутылочек",
    "отвёртка": "отвёрток",
    "башня": "башен",
    "вафля": "вафель",
    "капля": "капель",
    "тарелка": "тарелок",
    "кукла": "кукол",
    "метла": "мётел",
    "белка": "белок",
    "балалайка": "балалаек",
    "шлёпанец": "шлёпанцев",
    "индейка": "индеек",
    "батарейка": "батареек",
    "хижина": "хижин",
    "буханка": "буханок",
    "коала": "коал",
    "тыква": "тыкв",
    "ёж": "ежей",
    "рыба-ёж": "рыб-ежей",
    "Санта-Клаус": "Санта-Клаусов",
}
_NOMINATIVE_PLURAL = {
    "дерево": "деревья",
    "дом": "дома",
    "поезд": "поезда",
    "глаз": "глаза",
    "цветок": "цветы",
    "стул": "стулья",
    "яблоко": "яблоки",
    "ухо": "уши",
    "чудовище": "чудовища",
    "мороженое": "мороженые",
    "лист": "листья",
    "цыплёнок": "цыплята",
    "крыло": "крылья",
    "перо": "перья",
    "колокол": "колокола",
    "паспорт": "паспорта",
    "катер": "катера",
    "якорь": "якоря",
    "череп": "черепа",
    "клевер": "клевера",
    "ведро": "вёдра",
    "пчела": "пчёлы",
    "звезда": "звёзды",
    "метла": "мётлы",
    "рыба-ёж": "рыбы-ежи",
}
_SINGULAR = {
    ("мороженое", "gen"): "мороженого",
    ("мороженое", "ins"): "мороженым",
    ("мороженое", "pre"): "мороженом",
    ("ёж", "gen"): "ежа",
    ("ёж", "ins"): "ежом",
    ("ёж", "pre"): "еже",
    ("рыба-ёж", "gen"): "рыбы-ежа",
    ("рыба-ёж", "acc"): "рыбу-ежа",
    ("рыба-ёж", "ins"): "рыбой-ежом",
    ("рыба-ёж", "pre"): "рыбе-еже",
    ("цыплёнок", "gen"): "цыплёнка",
    ("цыплёнок", "ins"): "цыплёнком",
    ("цыплёнок", "pre"): "цыплёнке",
}
_STRESSED_INSTRUMENTAL = frozenset(
    (  # noqa: SIM905 - a list of words
        "мяч ключ меч плащ ёж кирпич врач овца свеча малыш шалаш карандаш огурец "
        "леденец лицо яйцо кольцо гараж нож душа"
    ).split()
)
"""-ом and -ой although the stem ends in ж ш ч щ ц: the ending is stressed."""
_ANIMATE = frozenset(
    (  # noqa: SIM905 - a list of words
        "собака пудель волк лиса енот кот кошка лев тигр леопард лошадь единорог "
        "зебра олень корова бык свинья баран овца коза верблюд лама жираф слон мамонт "
        "носорог бегемот мышь крыса хомяк кролик белка бобр ёж медведь коала панда "
        "ленивец выдра скунс кенгуру барсук индейка курица петух цыплёнок птица "
        "пингвин голубь орёл утка лебедь сова фламинго павлин попугай гусь лягушка "
        "крокодил черепаха ящерица змея дракон динозавр тираннозавр кит дельфин тюлень "
        "рыба рыба-ёж акула осьминог медуза краб лобстер креветка кальмар улитка "
        "бабочка гусеница муравей пчела жук коровка паук скорпион муха снеговик "
        "инопланетянин монстр робот клоун чудовище Санта-Клаус малыш мальчик "
        "девочка мужчина женщина дедушка бабушка мишка"
    ).split()
)
_MASCULINE_IN_A = frozenset(("мужчина", "дедушка", "мишка"))
_BOZHYA = "божья"
_HUSHERS = "жшчщ"
_VELARS = "гкх"
_VOWELS = "аеёиоуыэюя"


def plural_category(n: int) -> Literal["one", "few", "many"]:
    """CLDR plural rule of Russian for the integer ``n`` >= 0."""
    if n % 10 == 1 and n % 100 != 11:
        return "one"
    if 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14:
        return "few"
    return "many"


def counted(phrase: str, n: int, colour: str = "") -> str:
    """So many of a thing: ("машина", 2, "blue") is "две синие машины".

    With ``few`` an adjective stands in the genitive plural, or in the nominative plural
    where the noun is feminine (Rosenthal, § 193).
    """
    adjectives, head, rest = _parts(phrase, colour)
    gender = gender_of(head)
    if gender == "pl":
        words = [*(_adjective(a, "gen", "pl", "pl") for a in adjectives)]
        pairs = {"one": "пара", "few": "пары", "many": "пар"}[plural_category(n)]
        return _join(_numeral(n, "f"), pairs, *words, _noun(head, "gen", "pl"), rest)
    category = plural_category(n)
    if category == "one":
        form = _join(*_inflected(adjectives, head, "nom", "sg"), rest)
    elif category == "few":
        case: Case = "nom" if gender == "f" else "gen"
        animate = head in _ANIMATE
        described = [_adjective(a, case, gender, "pl", animate) for a in adjectives]
        form = _join(*described, _noun(head, "gen", "sg"), rest)
    else:
        form = _join(*_inflected(adjectives, head, "gen", "pl"), rest)
    return _join(_numeral(n, gender), form)


@lru_cache(maxsize=16384)
def decline(phrase: str, case: Case, number: Number = "sg", colour: str = "") -> str:
    """The phrase in a case; ``colour`` (an English colour word) becomes an adjective.

    decline("летучая мышь", "ins", colour="red") -> "красной летучей мышью".
    """
    adjectives, head, rest = _parts(phrase, colour)
    return _join(*_inflected(adjectives, head, case, number), rest)


def gender_of(noun: str) -> Gender:
    """Grammatical gender; ``pl`` for nouns that have no singular."""
    if noun in _ONLY_PLURAL:
        return "pl"
    if noun in _FIXED:
        return "m" if noun in _FIXED_MASCULINE else "n"
    if noun in _MASCULINE_IN_A | _MASCULINE_SOFT or noun.endswith("тель"):
        return "m"
    if noun.endswith(("а", "я", "ь")) or noun == "рыба-ёж":
        return "f"
    return "n" if noun.endswith(("о", "е", "ё")) else "m"


def with_preposition(preposition: str, phrase: str) -> str:
    """The preposition and a phrase: "в шляпе", but "во льве"."""
    hard = phrase[:1] == preposition and phrase[1:2] not in _VOWELS
    if preposition in "вс" and (hard or phrase.startswith(("льв", "рту", "мн"))):
        return f"{preposition}о {phrase}"
    return f"{preposition} {phrase}"


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


def _numeral(n: int, gender: Gender) -> str:
    if n == 1:
        return {"m": "один", "f": "одна", "n": "одно", "pl": "одни"}[gender]
    if n == 2:
        return "две" if gender == "f" else "два"
    return _NUMERALS.get(n, str(n))


def _parts(phrase: str, colour: str) -> tuple[list[str], str, str]:
    """Adjectives (in the dictionary form), the head noun, and what follows it."""
    words = phrase.split()
    at = 0
    while at < len(words) - 1 and _is_adjective(words[at]):
        at += 1
    adjectives = [COLOURS[colour]] if colour else []
    return adjectives + words[:at], words[at], " ".join(words[at + 1 :])


def _is_adjective(word: str) -> bool:
    noun = word.endswith(("ение", "ание", "тие"))
    endings = ("ый", "ий", "ой", "ая", "яя", "ое", "ее", "ые", "ие")
    return word == _BOZHYA or (word.endswith(endings) and not noun)


def _inflected(
    adjectives: list[str], head: str, case: Case, number: Number
) -> list[str]:
    gender = gender_of(head)
    number = "pl" if gender == "pl" else number
    animate = head in _ANIMATE
    described = [_adjective(a, case, gender, number, animate) for a in adjectives]
    return [*described, _noun(head, case, number)]


_HARD = {
    "m": ("ый", "ого", "ым", "ом"),
    "n": ("ое", "ого", "ым", "ом"),
    "f": ("ая", "ой", "ой", "ой"),
    "pl": ("ые", "ых", "ыми", "ых"),
}
_SOFT = {
    "m": ("ий", "его", "им", "ем"),
    "n": ("ее", "его", "им", "ем"),
    "f": ("яя", "ей", "ей", "ей"),
    "pl": ("ие", "их", "ими", "их"),
}
_ORDER: dict[Case, int] = {"nom": 0, "gen": 1, "ins": 2, "pre": 3}


def _adjective(
    word: str, case: Case, gender: Gender, number: Number, animate: bool = False
) -> str:
    if word == _BOZHYA:
        return _possessive(case, number)
    stem, ending = word[:-2], word[-2:]
    kind: Gender = "pl" if number == "pl" else gender
    if case == "acc":
        if kind == "f":
            soft = _is_soft(stem, ending)
            return stem + ("юю" if soft and stem[-1] not in _HUSHERS else "ую")
        case = "gen" if animate and kind in ("m", "pl") else "nom"
    if _is_soft(stem, ending):
        form = _SOFT[kind][_ORDER[case]]
        form = "ая" if form == "яя" and stem[-1] in _HUSHERS else form
    else:
        form = _HARD[kind][_ORDER[case]]
        if ending == "ой" and (kind, case) == ("m", "nom"):
            form = "ой"
        if stem[-1] in _VELARS:
            form = form.replace("ы", "и")
    return stem + form


def _possessive(case: Case, number: Number) -> str:
    """божья (коровка), the one possessive among the names."""
    if number == "pl":
        plural = {"nom": "божьи", "ins": "божьими"}
        return plural.get(case, "божьих")
    return {"nom": "божья", "acc": "божью"}.get(case, "божьей")


def _is_soft(stem: str, ending: str) -> bool:
    """синий and летящий are soft; резкий and чужой only look it."""
    if stem[-1] in _VELARS or ending == "ой":
        return False
    if ending in ("ая", "ое", "ые", "ый"):
        return stem[-1] in _HUSHERS and ending != "ый"
    return True


def _noun(word: str, case: Case, number: Number) -> str:
    if word in _FIXED:
        return word
    if word in _ONLY_PLURAL:
        genitive, instrumental, prepositional = _ONLY_PLURAL[word]
        forms = {"gen": genitive, "ins": instrumental, "pre": prepositional}
        return forms.get(case, word)
    if case == "acc":
        return _accusative(word, number)
    return _plural(word, case) if number == "pl" else _singular(word, case)


def _accusative(word: str, number: Number) -> str:
    if (word, "acc") in _SINGULAR and number == "sg":
        return _SINGULAR[word, "acc"]
    if number == "sg" and word.endswith("а"):
        return f"{word[:-1]}у"
    if number == "sg" and word.endswith("я"):
        return f"{word[:-1]}ю"
    masculine = gender_of(word) == "m"
    like_genitive = word in _ANIMATE and (masculine or number == "pl")
    return _noun(word, "gen" if like_genitive else "nom", number)


def _singular(word: str, case: Case) -> str:
    if case == "nom":
        return word
    if (word, case) in _SINGULAR:
        return _SINGULAR[word, case]
    if word.endswith(("а", "я")):
        return _first_declension(word, case)
    if word.endswith("ь") and gender_of(word) == "f":
        return word[:-1] + {"gen": "и", "ins": "ью", "pre": "и"}[case]
    return _second_declension(word, case)


def _first_declension(word: str, case: Case) -> str:
    stem, last = word[:-1], word[-1]
    if last == "я":
        iy = stem.endswith("и")
        return stem + {"gen": "и", "ins": "ей", "pre": "и" if iy else "е"}[case]
    i_after = stem[-1] in _VELARS + _HUSHERS
    unstressed = stem[-1] in f"{_HUSHERS}ц" and word not in _STRESSED_INSTRUMENTAL
    endings = {"gen": "и" if i_after else "ы", "ins": "ей" if unstressed else "ой"}
    return stem + endings.get(case, "е")


def _second_declension(word: str, case: Case) -> str:
    stem, soft = _stem(word)
    if word.endswith(("ие", "ий")):
        return stem + {"gen": "я", "ins": "ем", "pre": "и"}[case]
    em = soft or (stem[-1] in f"{_HUSHERS}ц" and word not in _STRESSED_INSTRUMENTAL)
    endings = {"gen": "я" if soft else "а", "ins": "ем" if em else "ом"}
    return stem + endings.get(case, "е")


def _stem(word: str) -> tuple[str, bool]:
    """Stem of a masculine or neuter noun, and whether it is soft."""
    bare = word[:-1] if word[-1] in "ьйоеё" else word
    soft = word[-1] in "ьйё" or (word[-1] == "е" and bare[-1] not in f"{_HUSHERS}ц")
    return _STEMS.get(word, bare), soft


def _plural(word: str, case: Case) -> str:
    nominative = _nominative_plural(word)
    if case == "nom":
        return nominative
    if case == "gen":
        return _genitive_plural(word)
    stem, last = nominative[:-1], nominative[-1]
    if word == "мороженое":
        return {"ins": "морожеными", "pre": "мороженых"}[case]
    if word == "рыба-ёж":
        return {"ins": "рыбами-ежами", "pre": "рыбах-ежах"}[case]
    soft = last == "я" or (last == "и" and stem[-1] not in _VELARS + _HUSHERS)
    vowel = "я" if soft else "а"
    return stem + vowel + {"ins": "ми", "pre": "х"}[case]


def _nominative_plural(word: str) -> str:
    if word in _NOMINATIVE_PLURAL:
        return _NOMINATIVE_PLURAL[word]
    if word.endswith(("а", "я", "ь")) and gender_of(word) == "f":
        return _singular(word, "gen")
    if word in _MASCULINE_IN_A:
        return _first_declension(word, "gen")
    stem, soft = _stem(word)
    if gender_of(word) == "n":
        return stem + ("я" if soft else "а")
    if word == "ёж":
        return "ежи"
    if word == "инопланетянин":
        return "инопланетяне"
    return stem + ("и" if soft or stem[-1] in _VELARS + _HUSHERS else "ы")


def _genitive_plural(word: str) -> str:
    if word in _GENITIVE_PLURAL:
        return _GENITIVE_PLURAL[word]
    if word == "инопланетянин":
        return "инопланетян"
    if word.endswith(("а", "о")) and not word.endswith("ио"):
        return _with_vowel(word[:-1])
    if word.endswith("я"):
        stem = word[:-1]
        return f"{stem}й" if stem[-1] in _VOWELS else f"{stem}ь"
    if word.endswith("ь") and gender_of(word) == "f":
        return f"{word[:-1]}ей"
    if word.endswith("це"):
        return word[:-1]
    stem, soft = _stem(word)
    if word.endswith("й"):
        return f"{stem}ев"
    if soft or stem[-1] in _HUSHERS:
        return f"{stem}ей"
    short = stem.endswith("ц") and word not in _STRESSED_INSTRUMENTAL
    return f"{stem}ев" if short else f"{stem}ов"


def _with_vowel(stem: str) -> str:
    """A zero ending wants no two consonants before к: чашк- -> чашек, сумк- -> сумок."""
    if stem[-1] != "к" or stem[-2] in _VOWELS:
        return stem
    if stem[-2] in "ьй":
        return f"{stem[:-2]}ек"
    return f"{stem[:-1]}{'е' if stem[-2] in _HUSHERS else 'о'}к"
