"""Passwords that anybody would try first.

Lists of common passwords are mostly a few hundred stems with small changes: letters
made digits (``p4ssw0rd``), something appended (``Dragon2024!``), a block repeated
(``abcabcabc``), a walk over the keyboard (``qwertyui``). So we undo the changes and
look up the stem; that refuses far more than any list of three thousand lines, and no
list has to be shipped. Passwords of three and more unrelated words pass.
"""

_STEMS = """
aaaa abcd abcdef abcdefg abcdefgh abc account action adidas admin administrator
adventure airborne alexander alexandra alexis alphabet amanda america andrea andrew
angel angela angelina animal anthony apple arsenal asdf asdfgh asdfghjkl asshole
austin australia autumn babygirl babyboy bailey banana barcelona baseball basketball
batman beach beautiful benjamin bigdaddy biteme blackbird blessed blink bond boston
brandon brittany brooklyn bubbles buddy bulldog butterfly california cameron canada
captain carolina caroline casper changeit changeme charles charlie charlotte cheese
chelsea chester chicago chicken chocolate chris christ christian christina christine
christmas christopher colorado computer cookie corvette courtney cowboys creative
crystal dallas daniel danielle darkness david december default demo destiny diamond
digital doctor dolphin dolphins domino donald dragon drowssap eagles einstein
elephant elizabeth eminem emmanuel england enter evolution family ferrari fireball
fishing flower flowers football forever france freedom friday friend friends fuckme
fuckoff fuckyou gabriel galaxy garfield gateway george georgia getmein giants
ginger godzilla golden goodluck google gordon grandma green guest guitar hannah
happiness happy harley heather heaven hello helloworld helpme hockey hollywood
homer honda hunter iceman iloveu iloveyou infinity inside internet internal isabella
jackson jackass jasmine jasper jennifer jeremy jessica jesus jonathan jordan joseph
joshua junior justice justin katherine kawasaki killer kimberly kitty knight kristina
lakers lauren leonardo letmein liberty liverpool logitech london loveme lovely
lovers loveyou lucky maggie magic manchester marina marlboro martin master matrix
matthew maverick maxwell melissa mercedes merlin metallica mexico michael michelle
mickey microsoft midnight miller minecraft mississippi mnbvcxz money monika monkey
monster morgan mother mountain mustang myspace naruto natalie natasha newcastle
newyork nicholas nicole nintendo nirvana nothing november october oliver online
orange orlando oscar pakistan panther paradise paris passw pass passport passwd
password passwort pakistani patricia patrick pauline peaches peanut pepper phoenix
pictures player please pokemon police porsche portugal postgres precious president
princess private purple pussy qazwsx qazwsxedc qwaszx qwer qwert qwerty qwertyu
qwertyui qwertyuio qwertyuiop azerty qwertz rachel raiders rainbow ranger rangers
rebecca redskins remember richard robert rockstar ronaldo root rosebud russia
salon samantha samsung samuel sandra saturday scorpion scorpio scooter sebastian
secret secure security server service sexy shadow shannon shopping sierra silver
simpson skywalker slayer smokey snoopy snowball soccer softball sophie spain
spartan spider spiderman spongebob spring stanley starlight startrek starwars
startup steelers stephanie steven strawberry student stupid summer sunday sunflower
sunrise sunset sunshine superman superstar supervisor support sweet sweetheart
system taylor teacher temp temporary tennis teresa test tester testing thailand
thankyou theman thomas thunder thursday tiffany tigers tigger tinkerbell titanic
toor toyota travel trinity trustme trustno turtle twilight unicorn united unknown
user username vampire vanessa victoria victory vietnam vikings vincent virginia
volleyball wallpaper warcraft warrior warriors weekend welcome westside whatever
william willow windows winner winston winter wizard woaini wolverine wonderful xxxx
yamaha yankees yellow yourname zaqwsx zxcvbn zxcvbnm zxcvbnmasdf
lovelove parol privet qweasd qweasdzxc ytrewq zaq xsw asdzxc salasana contrasena
heslo haslo senha mimamemima lozinka sifre motdepasse wachtwoord losenord
пароль привет йцукен йцукенг любовь наташа солнышко максим
""".split()  # noqa: SIM905 - a list that people read and extend

STEMS = frozenset(_STEMS)

_UNLEET = str.maketrans("@4031$5!7+89", "aaoeissittbg")

_ROWS = (
    "1234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "abcdefghijklmnopqrstuvwxyz",
    "йцукенгшщзхъ",
    "фывапролджэ",
    "ячсмитьбю",
)
_TRACKS = tuple(
    track
    for row in _ROWS
    for track in (row * 2, row[::-1] * 2)  # twice: walks go round the end
)


def is_guessable(password: str) -> bool:
    """Whether the password is a known stem, a walk or a repetition, slightly changed."""
    folded = password.casefold()
    bare = folded.strip("0123456789!?.,;:*#@$%&+-_=~^()[]{}<>/\\|'\" ")
    spellings = {folded, bare, folded.translate(_UNLEET), bare.translate(_UNLEET)}
    return any(
        each in STEMS or _repeats(each, STEMS) or _is_walk(each)
        for each in spellings
        if each
    ) or _repeats(folded)


def _repeats(text: str, of: frozenset[str] | None = None) -> bool:
    """Whether a short block (or one of ``of``) fills the whole text, cut at its end."""
    longest = len(text) // 2
    for size in range(1, longest + 1):
        block = text[:size]
        if (block * (len(text) // size + 1))[: len(text)] == text:
            return size <= 4 or (of is not None and block in of)
    return False


def _is_walk(text: str) -> bool:
    """Whether at most three walks of four keys or more make the whole text."""
    at, walks = 0, 0
    while at < len(text):
        size = max(
            (
                size
                for size in range(min(len(text) - at, 40), 3, -1)
                if any(text[at : at + size] in track for track in _TRACKS)
            ),
            default=0,
        )
        if not size or walks == 3:
            return False
        at, walks = at + size, walks + 1
    return True
