"""Text as written → text as it was meant: encoding, HTML, Unicode, spaces, links, handles.

Comes in: one text. Goes out: the same words in clean Unicode, links and handles replaced by
`[lien]` and `[compte]`. Cleaning twice is cleaning once.
Left out: case, accents, emoji, spelling and hashtags, which mean something; a bare site name
(« booking.com »), which names a brand; personal data, see `cxnlp.masks`.
"""

import html
import re
import unicodedata
from typing import Final

import ftfy

from cxnlp.masks import MASKABLE, pad

# A text without a match needs neither repair nor mask. Read by Python's `re` and by Arrow's RE2,
# which tests a whole column at once and knows no look-around and no back-references.
_PLAIN: Final = " -~àâäçéèêëîïôöùûüÿœæÀÇÉÈÊËÎÏÔÖÙÛÜŒÆ«»’‘“”–—…€°²·•\n"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzàâäçéèêëîïôöùûüœæÀÇÉÈÊËÎÏÔÖÙÛÜŒÆ"
SUSPECT: Final = "|".join(
    [
        f"[^{_PLAIN}]",
        "â€|ï»|É[›™«]|[ÊË]»",  # mojibake made of plain characters; all other has a character more
        "  | \n|\n |\n\n\n|^[ \n]|[ \n]$",
        "&(?:[#a-zA-Z])|<[/!a-zA-Z]|://|[wW][wW][wW]\\.|[a-zA-Z0-9]\\.[a-zA-Z]+/",
        "[?!.]{6}",
        *(f"{c}{{4}}" for c in dict.fromkeys(_LETTERS + _LETTERS.upper())),
        MASKABLE,
    ]
)
_ROUNDS: Final = 16  # two or three are enough for any text that a person wrote

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MOJIBAKE: Final = re.compile(r"[ÃÂÅÄâðïÐÑÎÏÊËÉ├┬Γ√‚][^\x00-\x7f]|[ÃÂ][ -@\[-`{-~]|ГЁ")
_C1: Final = {code: bytes([code]).decode("cp1252", "ignore") or None for code in range(0x80, 0xA0)}
# Letters that people put on for style: full width, mathematical alphabets, circled.
_STYLED: Final = re.compile("[！-～𝐀-𝟿Ⓐ-ⓩℂℊ-ℓℕℙ-ℝℤℨℬℭℯ-ℱℳℴ]+")
_BREAK: Final = re.compile("\r\n?|[\x0b\x0c\u2028\u2029]")
_SPACE: Final = re.compile("[\t\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\u3164]")
_EMOJI: Final = "©®\u203c-\u3299\U0001f000-\U0001faff"
_UNSEEN: Final = (
    "\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u180e\u200b\u200c\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\U000e0001"
)
_PERHAPS_JUNK: Final = re.compile(f"[{_UNSEEN}\u200d\ufe00-\ufe0f\U000e0020-\U000e007f]")
_JUNK: Final = re.compile(
    f"[{_UNSEEN}]"
    f"|(?<![{_EMOJI}\ufe0f])\u200d|\u200d(?![{_EMOJI}])"  # a joiner stays inside 👩‍🍳
    f"|(?<![{_EMOJI}0-9#*])[\ufe00-\ufe0f]"  # a variation selector stays in ❤️ and 1️⃣
    "|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]"  # and a tag in 🏴󠁧󠁢󠁥󠁮󠁧󠁿
)
_ENTITY: Final = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});|&nbsp(?![a-zA-Z])"
)
_HIDDEN: Final = re.compile(
    r"<!--.{0,2000}?-->|<(script|style)\b[^<>]{0,2000}>.{0,20000}?</\1\s{0,9}>", re.DOTALL | re.I
)
_TAG: Final = re.compile(
    r"</?(?:(?P<block>br|p|div|li|ul|ol|dl|dt|dd|h[1-6]|hr|tr|table|tbody|thead|blockquote|pre"
    r"|section|article|header|footer|form)|(?P<cell>td|th|option)"
    r"|a|abbr|b|big|body|center|cite|code|del|em|figure|font|head|html|i|iframe|img|input|ins"
    r"|label|link|main|mark|meta|nav|o:p|q|s|script|small|span|strike|strong|style|sub|sup|svg"
    r"|title|tt|u|video|wbr)"
    r"(?:\s{1,9}[\w:-]{1,50}\s{0,9}=\s{0,9}(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))*+\s{0,9}/?>",
    re.IGNORECASE,
)
_REST_OF_LINK: Final = r"[\w.~:/?#\[\]@!$&()*+,;=%-]*[\w/#=&%~+-]"
_LINK: Final = re.compile(
    rf"(?:https?|ftp)://{_REST_OF_LINK}|(?<![\w@./-])(?:www\.\w{_REST_OF_LINK}"
    r"|(?:[a-z0-9][a-z0-9-]{0,62}\.){1,4}(?:app|be|biz|ca|ch|co|com|eu|fr|gg|gl|info|io|link|lu|ly"
    rf"|me|net|org|page|paris|ru|shop|to|tv|uk)/{_REST_OF_LINK})",
    re.IGNORECASE,
)
_HANDLE: Final = re.compile(
    r"(?<![\w@.%+/-])@(?!(?:gmail|hotmail|yahoo|outlook|live|icloud|laposte|wanadoo)\.)"
    r"[^\W\d]\w+(?:\.[a-z0-9_]\w*)*(?:@[\w.-]*\w)?"
)
_SPACES: Final = re.compile(" {2,}")
_AROUND_BREAK: Final = re.compile(r" *\n *")
_BREAKS: Final = re.compile(r"\n{3,}")
_STRETCHED: Final = re.compile(r"([^\W\d_])\1{3,}")
_SHOUTED: Final = re.compile(r"[?!.]{6,}")


def clean_text(text: str) -> str:
    """Return `text` repaired.

    >>> clean_text("<p>TrÃ¨s bien !!  Voir https://exemple.fr/a, @boutique &amp; co</p>")
    'Très bien !! Voir [lien], [compte] & co'
    >>> clean_text("Prix < 10 €, j'adore <3 … trooooop bien 👍🏽")
    "Prix < 10 €, j'adore <3 … trooop bien 👍🏽"
    """
    for _ in range(_ROUNDS):  # what one repair uncovers, the next round sees: `&amp;eacute;`
        repaired = _tidy(_without_addresses(_without_html(_with_plain_characters(text))))
        if repaired == text:
            break
        text = repaired
    return text


def _with_plain_characters(text: str) -> str:
    """Encoding put right, one form for each character, nothing that cannot be seen."""
    if text.isascii() and text.isprintable():
        return text
    if _SURROGATE.search(text):  # the halves of an emoji are joined, a half alone goes
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    if _MOJIBAKE.search(text):
        text = ftfy.fix_encoding(text)
    text = _SPACE.sub(" ", _BREAK.sub("\n", text))
    if _PERHAPS_JUNK.search(text):
        text = _JUNK.sub("", text.translate(_C1))
    text = _STYLED.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return unicodedata.normalize("NFC", text)


def _without_html(text: str) -> str:
    """Entities read, tags gone; a block tag was a line break. « <3 » and « < 10 € » stay."""
    if "&" in text:
        while (read := _ENTITY.sub(lambda found: html.unescape(found[0]), text)) != text:
            text = read
    if "<" in text and ">" in text:
        text = _TAG.sub(_space_of_tag, _HIDDEN.sub(" ", text))
    return text


def _space_of_tag(tag: re.Match[str]) -> str:
    return "\n" if tag["block"] else " " if tag["cell"] else ""


def _without_addresses(text: str) -> str:
    if "/" in text or "www." in text.lower():
        text = _LINK.sub(lambda found: pad(text, found.start(), found.end(), "[lien]"), text)
    return _HANDLE.sub("[compte]", text) if "@" in text else text


def _tidy(text: str) -> str:
    """Spaces, line breaks and stretched letters cut to what a reader needs."""
    text = (
        _AROUND_BREAK.sub("\n", _SPACES.sub(" ", text)) if "\n" in text else _SPACES.sub(" ", text)
    )
    text = _BREAKS.sub("\n\n", text).strip(" \n")
    text = _STRETCHED.sub(r"\1\1\1", text)
    return _SHOUTED.sub(lambda found: found[0][:5], text)
