"""Personal data in a text → a word in brackets that says what stood there.

Comes in: one text and the kinds to look for. Goes out: the text with each e-mail address,
telephone number, IBAN, payment card and French social security number (NIR) replaced.
Numbers that carry a key are checked, so that an order number is not taken for a card.
Left out: names and postal addresses, which no pattern finds.
"""

import re
from collections.abc import Callable
from typing import Final

KINDS: Final = ("email", "telephone", "iban", "carte", "nir")
# A text without a match has nothing to mask; readable by Arrow's RE2 as well.
MASKABLE: Final = (
    r"@|[(\[] ?(?:at|arobas)|[0-9](?:[ ./()_-]*[0-9]){8}|[0-9][ .-]?2[ABab]|[A-Za-z]{2}[0-9]{2}"
)
_MASKABLE: Final = re.compile(MASKABLE)


def mask(text: str, kinds: tuple[str, ...] = KINDS) -> str:
    """Return `text` with the personal data of these kinds replaced by `[kind]`.

    >>> mask("Rappelez-moi au 06 99 00 12 34 ou à anne.d@exemple.fr, merci")
    'Rappelez-moi au [telephone] ou à [email], merci'
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"mask: unknown kind {unknown[0]!r}; known are {', '.join(KINDS)}")
    while _MASKABLE.search(text):
        masked = text
        for kind, (candidate, accepted) in _SEARCHES.items():
            if kind in kinds:
                masked = _replace(masked, candidate, accepted, f"[{kind}]")
        if masked == text:
            break
        text = masked  # a number beside one that went may be seen now
    return text


def pad(text: str, start: int, end: int, token: str) -> str:
    """Return `token`, with a space on each side where `text` has a letter or digit.

    >>> pad("voirhttps://exemple.fr", 4, 22, "[lien]")
    ' [lien]'
    """
    before = " " if start > 0 and text[start - 1].isalnum() else ""
    after = " " if end < len(text) and text[end].isalnum() else ""
    return f"{before}{token}{after}"


def _replace(
    text: str, candidate: re.Pattern[str], accepted: Callable[[str], int], token: str
) -> str:
    """Replace what `accepted` says is real, given what `candidate` found at each place."""
    pieces, done = [], 0
    for found in candidate.finditer(text):
        start = found.start()
        if start < done:
            continue
        length = accepted(found.group(1))
        if length:
            end = start + length
            pieces += [text[done:start], pad(text, start, end, token)]
            done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _ends(text: str) -> list[int]:
    """Lengths of `text` at which a run of digits stops, longest first."""
    ends = [m.end() for m in re.finditer(r"[0-9]+", text)]
    return ends[::-1]


def _nir(text: str) -> int:
    """The key is 97 − (number mod 97), Corsica's 2A and 2B counting as 19 and 18."""
    bare = re.sub(r"[^0-9AB]", "", text.upper())
    number, key = bare[:13].replace("2A", "19").replace("2B", "18"), bare[13:]
    return len(text) if number.isdigit() and 97 - int(number) % 97 == int(key) else 0


def _iban(text: str) -> int:
    """Cut to the length of its country, then ISO 7064: mod 97 must be 1."""
    length, seen = _IBAN_LENGTHS[text[:2].upper()], 0
    for place, char in enumerate(text):
        seen += char.isalnum()
        if seen == length:
            end = place + 1
            break
    else:
        return 0
    if text[end : end + 1].isdigit():
        return 0
    bare = "".join(c for c in text[:end] if c.isalnum())
    return end if int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1 else 0


def _card(text: str) -> int:
    """An issuer's prefix, a length that issuer uses, and Luhn's sum."""
    for end in _ends(text):
        digits = _digits(text[:end])
        known = any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _ISSUERS)
        if known and _luhn(digits):
            return end
    return 0


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(int(d) for d in digits[::-2]) + sum(doubled)) % 10 == 0


def _french_phone(text: str) -> int:
    """Ten digits; not a date followed by an hour, not a decimal, not signs of two sorts."""
    groups = re.findall(r"[0-9]+", text)
    signs = {sign.strip() for sign in re.findall(r"[^0-9()]+", text)}
    dated = [len(group) for group in groups[:3]] == [2, 2, 4] and groups[2][:2] in ("19", "20")
    decimal = groups[0] == "0" and signs & {".", ","}
    return 0 if len(signs) > 1 or dated or decimal else len(text)


def _foreign_phone(text: str) -> int:
    """Country code and number: 9 to 15 digits, and no round million."""
    for end in _ends(text):
        digits = _digits(text[:end])
        if 9 <= len(digits.removeprefix("00")) <= 15 and "000000" not in digits:
            return end
    return 0


def _phone(text: str) -> int:
    abroad = text.startswith(("+", "(+", "00", "(00"))
    return _foreign_phone(text) if abroad else _french_phone(text)


def _whole(text: str) -> int:
    return len(text)


# Lengths of the countries whose accounts French customers hold, most of them SEPA.
_IBAN_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI NL", 19: "SI", 20: "AT EE LT LU", 21: "CH HR LI LV",
        22: "BG DE GB IE", 23: "AE GI IL", 24: "AD CZ ES MD PL RO SA SE SK TN", 25: "PT",
        26: "IS TR", 27: "FR GR IT MC SM", 28: "CY HU LB MA PL SN", 31: "MT",
    }.items()
    for country in countries.split()
}  # fmt: skip
_ISSUERS: Final = [
    (re.compile(prefix), lengths)
    for prefix, lengths in (
        ("4", (16, 19, 13)),  # Visa
        ("5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)", (16,)),  # Mastercard
        ("3[47]", (15,)),  # American Express
        ("3(?:0[0-5]|[689])", (14, 16)),  # Diners
        ("35(?:2[89]|[3-8])", (16,)),  # JCB
        ("6(?:011|4[4-9]|5|2)", (16, 17, 18, 19)),  # Discover, UnionPay
        ("50(?:18|20|38)|5893|6304|6759|676[1-3]", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    )
]
_ALONE = r"(?<![^\W_])"
_SIGN = r"(?: ?[ ./_-] ?)?"
_ZERO = rf"(?:\(0\)|0){_SIGN}"
_MAIL_DOMAIN = (
    r"[^\W_](?:[\w-]{0,62})(?:\.[\w-]{1,63}){0,5}?"
    r"\.(?:[a-z]{2,24}(?![a-z0-9-]|\.[a-z0-9])|[A-Z]{2,24}(?![A-Za-z0-9-]|\.[A-Z0-9]{2}))"
)
_MAIL_HOUSES = r"(?:gmail|hotmail|yahoo|outlook|live|icloud|laposte|wanadoo)\.[a-zA-Z]{2,3}\b"
_SEARCHES: Final[dict[str, tuple[re.Pattern[str], Callable[[str], int]]]] = {
    "email": (
        re.compile(
            rf"(?<![\w.+%-])(?=([\w+%-][\w.+%-]{{0,63}}+"
            rf"(?:@{_MAIL_DOMAIN}| ?@ ?{_MAIL_HOUSES}"
            rf"| ?[(\[] ?(?:at|arobase|arobas) ?[)\]] ?{_MAIL_DOMAIN})))"
        ),
        _whole,
    ),
    "iban": (
        re.compile(
            rf"{_ALONE}(?=((?:{'|'.join(_IBAN_LENGTHS)})[0-9]{{2}}(?:[ .-]?[A-Z0-9]){{11,30}}))",
            re.IGNORECASE | re.ASCII,
        ),
        _iban,
    ),
    "nir": (
        re.compile(
            rf"{_ALONE}(?=([123478][ .-]?[0-9]{{2}}[ .-]?(?:0[1-9]|1[0-2]|[2-9][0-9])[ .-]?"
            r"(?:[0-9]{2}|2[ABab])(?:[ .-]?[0-9]){6}[ .-]?[0-9]{2}(?![0-9])))"
        ),
        _nir,
    ),
    "carte": (
        re.compile(r"(?<![0-9])(?<![0-9][.,/-])(?=([2-6](?: ?-? ?[0-9]){12,18}))"),
        _card,
    ),
    "telephone": (
        re.compile(
            rf"(?<![0-9])(?<![0-9][.,/-])(?:{_ALONE}|(?<=t[eé]l)|(?<=T[eéEÉ][lL]))"
            # +33 6…, 0033 6…, +33 (0)6…, (+33) 6…, and other countries
            r"(?=(\(?(?:\+|00) ?[1-9](?:[ ./-]?[0-9]){0,2}\)?[ ./-]?(?:\(0\))?"
            r"(?:[ ./-]?\(?[0-9]\)?){6,13}(?![0-9])"
            # 06 12 34 56 78 and its like, whatever stands before: « 7j/7 au 3 06 12 … »
            rf"|{_ZERO}[1-9](?:{_SIGN}[0-9]{{2}}){{4}}(?![.,]?[0-9])"
            # 0 800 123 456, 06 123 456 78: only when it is not a part of a longer number
            rf"|(?<![0-9] ){_ZERO}[1-9](?:{_SIGN}[0-9]){{8}}(?! ?[.,]?[0-9])))"
        ),
        _phone,
    ),
}
