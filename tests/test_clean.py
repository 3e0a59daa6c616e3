"""Cleaning: what is repaired, what is masked, which language it is, what repeats what."""

import re
import unicodedata
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxnlp.clean import KINDS, clean, clean_column, clean_text, duplicates, language, mask
from cxnlp.repair import SUSPECT

FRENCH = """
Top|Super|RAS|Nickel|Au top|Bien|Parfait|Conforme|Rien à dire|TRES BIEN RIEN A DIRE|Nul|Bof
A fuir|Génial !|Merci|Correct|Excellent|Impeccable|Service client injoignable|Prix excessif
Pas terrible|Bon rapport qualité prix|slt g pa recu mon coli|c tro b1 jador|Au top du top !!!
Livraison rapide|Personnel agréable|Good|Nice|Hotel excellent|Ok|Moyen|Trop cher|Arnaque|Déçue
Dommage|Perfect|Restaurant cosy|Super service, staff au top|Location parfaite|Fast food bondé
service non professionnel|Expérience inoubliable|EXPERIENCE DECEVANTE|Free mobile|Livré hier
Accueil froid|La chambre était sale et le personnel désagréable|je recommande|Vivement la suite
On a poireauté deux heures dans le froid|Le best du best, rien à redire|Le staff est friendly
Ma commande de Zara n'est jamais arrivée|J'ai adoré le show, the place to be à Lyon !
Toujours pas remboursé depuis le 3 mars|Site mal fait mais articles conformes|jsuis dég mdr
Les serveurs parlent English, very good, mais les plats étaient froids et chers|5 étoiles
"""
ENGLISH = """
Very good hotel|Great!|Friendly staff|The room was clean and quiet|I would not come back
Terrible service, we waited for two hours|My order never arrived|Best pizza in town|Really bad
The staff were lovely and very helpful|Breakfast was cold|Great location, small room|Amazing!
Excellent value for money|Do not buy from this shop|They refused to give me a refund
It is a beautiful museum, we loved it|The queue at the entrance was far too long|Worst bank ever
Customer service is a joke|Very disappointed with my purchase|Fast delivery and well packed
I can't log in to the app since the last update|We had a wonderful evening|Overpriced and noisy
The food was delicious but the waiter was rude|Nothing works, avoid this company|Awesome food
Would recommend to all my friends|The bed was comfortable and the view was amazing
The website keeps crashing when I try to pay|Not worth the price|Lovely place, will come again
She was very kind and answered all our questions|Parking was easy to find and not expensive
The package was damaged when it arrived|This is the worst experience I have ever had
Clean rooms and friendly people|I have been waiting for my money for three weeks
Our flight was cancelled and nobody told us anything|Good selection but the prices are too high
"""
SPANISH = """
Muy bueno|El hotel es muy bonito y está muy cerca del centro|Excelente atención del personal
La habitación estaba sucia|No lo recomiendo|Muy mala experiencia, no volveremos nunca
El desayuno era muy completo|Todo perfecto, gracias|El pedido nunca llegó a mi casa
Llevo tres semanas esperando mi dinero|Los camareros fueron muy amables con nosotros
La comida estaba fría y el servicio era lento|Una tienda con mucha variedad y buenos precios
Me encanta este lugar, siempre vuelvo con mis amigos|Pésimo servicio, nadie contesta el teléfono
El personal es muy amable y la ubicación es excelente|Nos gustó mucho la exposición
La aplicación no funciona desde la última actualización|Muy buena relación calidad precio
Las camas eran cómodas pero había mucho ruido por la noche|Volveremos sin duda el próximo año
Es una vergüenza que no devuelvan el dinero|El paquete llegó roto y sin factura
Había una cola enorme para entrar al museo|El chico de la recepción nos ayudó con todo
Desayuno muy bueno y personal amable|La piscina estaba limpia y el agua muy buena
Compré unos zapatos y no son de mi talla|Hemos pasado una noche maravillosa en este sitio
Está todo muy bien organizado|Los precios son demasiado altos para lo que ofrecen
La entrega fue rápida y el producto es como en la foto|No hay nadie que pueda ayudarte
Muy recomendable para ir con niños|Mi habitación no tenía ventana ni aire acondicionado
El mejor restaurante de la ciudad|El wifi no funcionaba y nadie hizo nada
Estoy muy contento con la compra|Cancelaron nuestro vuelo y no nos dijeron nada
El sitio es pequeño pero tiene mucho encanto|Muy caro para la calidad que tiene
"""
OTHERS = {
    "de": "Sehr schönes Hotel, wir kommen gerne wieder|Das Zimmer war leider nicht sauber",
    "it": "La camera era molto pulita e il personale gentile|Ottima posizione, consigliato",
    "pt": "O quarto era muito bom e os funcionários são simpáticos|Não recomendo, muito caro",
    "nl": "Het ontbijt was heel lekker en de kamer was schoon|Zeer vriendelijk personeel",
    "pl": "Bardzo miła obsługa, polecam ten hotel|Pokój był bardzo czysty i jest blisko",
    "sv": "Bra läge och mycket trevlig personal, vi kommer gärna tillbaka hit nästa år",
    "ru": "Очень хороший отель, персонал приветливый",
    "ar": "الفندق جميل جدا والموظفون لطفاء",
    "ja": "とても素敵なホテルでした。また泊まりたいです。",
}


def sentences(table: str) -> list[str]:
    return [text.strip() for line in table.strip().splitlines() for text in line.split("|")]


def share(code: str, table: str) -> float:
    texts = sentences(table)
    assert len(texts) >= 40
    return sum(language(text) == code for text in texts) / len(texts)


# --- repair


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("soirÃ©e", "soirée"),
        ("lâ€™accueil", "l’accueil"),
        ("Ã  la caisse", "à la caisse"),
        ("TrÃ¨s Â bien", "Très bien"),
        ("prix 10â‚¬", "prix 10€"),
        ("ravie ðŸ˜Š", "ravie 😊"),
        ("l\x92accueil à 10 \x80", "l’accueil à 10 €"),
        ("\ud83d\ude00 ravi \ud83d", "😀 ravi"),
    ],
)
def test_a_wrong_encoding_is_put_right(written: str, meant: str) -> None:
    assert clean_text(written) == meant


@pytest.mark.parametrize(
    "text",
    [
        "DÉGÂTS DES EAUX, Âme sensible, SÃO PAULO, crème brûlée à 5 € « là-bas » …",
        "½ pizza, 20 °C, n² – œuvre d’Éva : « Noël à l’Île »",
        "❤️ 1️⃣ 👍🏽 👩‍🍳 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "prix < 10 € et > 5, j'adore <3, 2<x et y>3, <apporte>",
        "à 10.50 etc.Je reviens. Fin.Le reste et/ou fin.le/la, booking.com",
        "R&D, A&notamment, @ 10h, @10h, tou@s, #top, 1000000 d'euros ?! Non...",
        "commande 342473679 du 21/05/2019 à 11:28, 75008 Paris",
    ],
)
def test_a_clean_text_is_left_as_it_is(text: str) -> None:
    assert clean_column(pa.array([text])).to_pylist() == [clean_text(text)] == [text]


@pytest.mark.parametrize("char", "éèêëàâäçîïôöùûüœ’“…€–É")
def test_every_french_character_read_as_cp1252_is_suspect(char: str) -> None:
    garbled = "".join(
        bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in char.encode()
    )
    assert re.search(SUSPECT, f"mot{garbled}mot")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("bien&nbsp;! &eacute;t&eacute; &#8217;", "bien ! été ’"),
        ("&amp;lt;b&amp;gt;gras", "gras"),
        ("a<br>b<br/>c</p><p class='x'>d", "a\nb\nc\n\nd"),
        ("<a href='https://exemple.fr'>ici</a>, <b>là</b>.", "ici, là."),
        ("<script>x()</script>ok<!-- non -->", "ok"),
    ],
)
def test_html_is_read_and_removed(written: str, read: str) -> None:
    assert clean_text(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("e\u0301te\u0301", "été"),
        ("Ｓｕｐｅｒ 𝐓𝐨𝐩 ½", "Super Top ½"),
        ("mo\u00adt\u200bs\ufeff et a\u200db\x00", "mots et ab"),
        ("a\xa0 b\t c\u202f!", "a b c !"),
        (" a \r\n\n\n\n b\u2028c ", "a\n\nb\nc"),
        ("troooooop LOOOOONG 1000000", "trooop LOOONG 1000000"),
        ("non!!!!! quoi???????", "non!!!!! quoi?????"),
    ],
)
def test_characters_spaces_and_stretches_have_one_form(written: str, read: str) -> None:
    assert clean_text(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Voir https://exemple.fr/a?b=1, (http://b.fr).", "Voir [lien], ([lien])."),
        ("www.exemple.fr. t.co/xyz bit.ly/3x😀", "[lien]. [lien] [lien]😀"),
        ("voirhttps://exemple.fr/a Merci", "voir [lien] Merci"),
        ("@nom, @jean.dupont: .@Marque.Merci", "[compte], [compte]: .@Marque.Merci"),
        ("Merci @Marque.Et encore", "Merci [compte].Et encore"),
    ],
)
def test_links_and_handles_are_replaced(written: str, read: str) -> None:
    assert clean_text(written) == read


# --- masks


def with_nir_key(number: str) -> str:
    value = int(number.replace(" ", "").replace("2A", "19").replace("2B", "18"))
    return f"{number} {97 - value % 97:02d}"


@pytest.mark.parametrize(
    "text",
    [
        "06 12 34 56 78", "06.12.34.56.78", "06-12-34-56-78", "06/12/34/56/78", "0612345678",
        "06. 12. 34. 56. 78", "06 1234 56 78", "01 70 772 372", "0 805 204 805", "0805 204 805",
        "+33 6 12 34 56 78", "+33612345678", "0033 6 12 34 56 78", "+33 (0)6 12 34 56 78",
        "+33(0)612345678", "(0)6 12 34 56 78", "+44 20 7946 0958", "+352 621 123 456",
    ],
)  # fmt: skip
def test_a_telephone_number_is_masked(text: str) -> None:
    assert mask(f"Tél : {text}, merci") == "Tél : [telephone], merci"


@pytest.mark.parametrize(
    "text",
    [
        "le 01.02.2023 10:30", "le 06 12 2022 14h", "21/05/2019 11:28 3559438", "1 200 500,50 €",
        "0612345678.50", "0.123456789", "commande n°342473679", "CMD0612345678", "75008 Paris",
        "+20 000 000 euros", "+10 000 000 000", "réf 2023-0612345678", "08h00 12h00 14h00 18h00",
        "dossier 20230614001234", "12345678901234567890",
    ],
)  # fmt: skip
def test_a_price_a_date_or_an_order_number_is_no_telephone_number(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "jean.dupont@exemple.fr", "JEAN@EXEMPLE.FR", "a.b+c@sous.domaine.exemple.co.uk",
        "jean.d @gmail.com", "jean (at) exemple.fr", "élodie_2@exemple-mail.com",
    ],
)  # fmt: skip
def test_an_email_address_is_masked(text: str) -> None:
    assert clean_column(pa.array([f"Écrire à {text}."])).to_pylist() == ["Écrire à [email]."]


@pytest.mark.parametrize(
    "text",
    [
        "FR76 3000 6000 0112 3456 7890 189", "fr7630006000011234567890189",
        "BE68 5390 0754 7034", "DE89370400440532013000", "GB82 WEST 1234 5698 7654 32",
    ],
)  # fmt: skip
def test_an_iban_is_masked(text: str) -> None:
    assert mask(f"IBAN {text} merci") == "IBAN [iban] merci"


@pytest.mark.parametrize(
    "text", ["FR76 3000 6000 0112 3456 7890 188", "FR76 3000 6000", "XX89370400440532013000"]
)
def test_an_iban_whose_key_or_country_is_wrong_is_none(text: str) -> None:
    assert mask(text, ("iban",)) == text


@pytest.mark.parametrize(
    "text",
    [
        "4970 1012 3456 7893", "4111111111111111", "4111-1111-1111-1111", "5555 5555 5555 4444",
        "3782 822463 10005", "6011000990139424", "2221 0000 0000 0009",
    ],
)  # fmt: skip
def test_a_payment_card_is_masked(text: str) -> None:
    assert mask(f"carte {text} 12/25") == "carte [carte] 12/25"


@pytest.mark.parametrize(
    "text", ["4111111111111112", "9111 1111 1111 1111", "1111111111111117", "411111111111111111116"]
)
def test_an_order_number_is_no_card(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("number", ["1 85 05 78 006 084", "2 90 12 2A 004 012", "271032B033101"])
def test_a_social_security_number_is_masked(number: str) -> None:
    assert mask(f"n° {with_nir_key(number)}.") == "n° [nir]."


@pytest.mark.parametrize("number", ["1 85 05 78 006 084 92", "5 85 05 78 006 084 91"])
def test_a_social_security_number_with_a_wrong_key_is_none(number: str) -> None:
    assert mask(number) == number


def test_a_mask_never_touches_a_letter() -> None:
    assert (
        mask("tel0612345678merci à jean@exemple.frMerci") == "tel [telephone] merci à [email] Merci"
    )


def test_only_the_kinds_asked_for_are_masked() -> None:
    assert mask("a@exemple.fr ou 0612345678", ("email",)) == "[email] ou 0612345678"


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown kind 'nom'; known are email, telephone"):
        mask("texte", ("nom",))


def test_two_numbers_side_by_side_are_both_masked() -> None:
    assert mask("06.12.34.56.78/07.12.34.56.78") == "[telephone]/[telephone]"


# --- language


@pytest.mark.parametrize("text", sentences(FRENCH))
def test_no_french_comment_is_lost(text: str) -> None:
    assert language(text) == "fr"


def test_english_is_told() -> None:
    assert share("en", ENGLISH) >= 0.95


def test_spanish_is_told() -> None:
    assert share("es", SPANISH) >= 0.95


@pytest.mark.parametrize(
    ("code", "text"), [(code, text) for code, both in OTHERS.items() for text in both.split("|")]
)
def test_another_language_is_told(code: str, text: str) -> None:
    assert language(text) == code


@pytest.mark.parametrize(
    ("code", "text"), [("es", "muy buena muito limpo"), ("pt", "muito limpo muy buena")]
)
def test_of_two_languages_that_tie_the_first_one_spoken_is_told(code: str, text: str) -> None:
    assert language(text) == code


@pytest.mark.parametrize("text", ["", "👍👍👍", "5/5", "[lien] [compte]", "!!!", "😍 10/10 :)"])
def test_a_text_without_words_has_no_language(text: str) -> None:
    assert language(text) is None


# --- columns


def test_each_row_keeps_its_place_and_its_reason() -> None:
    cleaned = clean(
        pa.array(["Très bien", None, "Very good hotel", " \n", "👍", "…", "[lien]", ":)"])
    )
    assert cleaned.set_aside.to_pylist() == [
        None, "vide", "langue", "vide", None, "vide", "vide", None,
    ]  # fmt: skip


def test_a_text_set_aside_is_still_there() -> None:
    assert clean(pa.array(["Very good  hotel", "…"])).texts.to_pylist() == ["Very good hotel", "…"]


def test_languages_to_keep_are_those_asked_for() -> None:
    cleaned = clean(pa.array(["Very good hotel", "Très bien"]), keep=("en",))
    assert cleaned.set_aside.to_pylist() == [None, "langue"]


def test_a_chunked_column_gives_the_same_as_a_whole_one() -> None:
    texts = ["Très  bien", None, "à jean@exemple.fr", "Nul"]
    chunked = pa.chunked_array([texts[:1], texts[1:3], [], texts[3:]], pa.large_string())
    assert clean(chunked).texts.equals(clean(pa.array(texts)).texts)


def test_no_rows_give_no_rows() -> None:
    cleaned = clean(pa.array([], pa.string()))
    assert [len(getattr(cleaned, name)) for name in cleaned.__slots__] == [0, 0, 0, 0, 0]


def test_titles_keep_their_nulls_and_their_languages() -> None:
    assert clean_column(pa.array([None, "", "So  good"])).to_pylist() == [None, "", "So good"]


def test_the_digest_is_of_the_cleaned_text() -> None:
    first, second, third = clean(
        pa.array(["Très  bien", "Très bien", "très bien"])
    ).digests.to_pylist()
    assert first == second != third
    assert len(first) == 32


def test_the_same_words_have_the_same_duplicate_key() -> None:
    keys = clean(
        pa.array(["Très BIEN !", "tres bien", "pas bien", "👍"])
    ).duplicate_keys.to_pylist()
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].startswith("court:")
    assert keys[3] is None


def test_words_in_other_scripts_count_for_the_duplicate_key() -> None:
    first, second, third = clean(
        pa.array(["Очень хороший отель", "очень ХОРОШИЙ отель !", "плохой отель"])
    ).duplicate_keys.to_pylist()
    assert first == second != third


# --- duplicates

LONG = "Deux heures de queue au guichet et personne pour nous renseigner, quel dommage."


def comments(*rows: tuple[str, int | None, str | None, str | None]) -> pa.Table:
    """Of (comment_id, hour of 2026-03-01, author_key, text)."""
    ids, hours, authors, texts = zip(*rows, strict=True)
    at = [None if h is None else datetime(2026, 3, 1 + h // 24, h % 24, tzinfo=UTC) for h in hours]
    return pa.table(
        {
            "comment_id": pa.array(ids, pa.string()),
            "published_at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "author_key": pa.array(authors, pa.string()),
            "duplicate_key": clean(pa.array(texts, pa.string())).duplicate_keys,
        }
    )


def test_the_earliest_of_the_same_long_texts_is_kept() -> None:
    table = comments(("a", 5, "x", LONG), ("b", 3, None, LONG.upper()), ("c", 4, "z", LONG))
    assert duplicates(table).to_pylist() == ["b", None, "b"]


def test_a_comment_without_a_date_comes_last() -> None:
    table = comments(("a", None, None, LONG), ("b", 3, None, LONG))
    assert duplicates(table).to_pylist() == ["b", None]


def test_at_the_same_time_the_smallest_id_is_kept() -> None:
    table = comments(("c", 3, None, LONG), ("a", 3, None, LONG), ("b", 3, None, LONG))
    assert duplicates(table).to_pylist() == ["a", None, "a"]


def test_two_people_may_write_the_same_few_words() -> None:
    table = comments(("a", 1, "x", "Très bien"), ("b", 2, "y", "Très bien"))
    assert duplicates(table).to_pylist() == [None, None]


def test_one_person_who_says_a_few_words_twice_a_day_repeats() -> None:
    table = comments(("a", 2, "x", "Très bien"), ("b", 1, "x", "TRES BIEN !"))
    assert duplicates(table).to_pylist() == ["b", None]


def test_a_few_words_the_next_day_are_no_duplicate() -> None:
    table = comments(("a", 23, "x", "Très bien"), ("b", 24, "x", "Très bien"))
    assert duplicates(table).to_pylist() == [None, None]


def test_a_few_words_of_nobody_or_of_no_day_are_no_duplicate() -> None:
    table = comments(
        ("a", 1, None, "Très bien"), ("b", 1, None, "Très bien"),
        ("c", None, "x", "Bof"), ("d", None, "x", "Bof"),
    )  # fmt: skip
    assert duplicates(table).to_pylist() == [None] * 4


def test_texts_without_words_are_no_duplicates() -> None:
    assert duplicates(comments(("a", 1, "x", "👍"), ("b", 1, "x", "👍"))).to_pylist() == [
        None,
        None,
    ]


def test_the_order_of_rows_does_not_decide_who_is_kept() -> None:
    rows = [(f"id{i:02}", i % 7, "xyz"[i % 3], LONG if i % 2 else "Nul") for i in range(30)]
    forth, back = comments(*rows), comments(*reversed(rows))
    assert duplicates(forth).to_pylist() == duplicates(back).to_pylist()[::-1]


def test_an_empty_table_has_no_duplicates() -> None:
    assert duplicates(comments(("a", 1, "x", LONG)).slice(0, 0)).to_pylist() == []


# --- any text

PIECES = """
a é e\u0301 Ã© â€™ Â ðŸ˜Š \xa0 \u200b \u200d \ufe0f 👩 🍳 ❤ < <b> </b> <br> <3 & amp; &amp; &lt;
&#8203; @ @nom . fr / www. https:// t.co/a 06 12 34 0612345678 +33 (0) - FR76 4111111111111111
3000 6000 185057800608491 jean@free.fr [lien] ] ! ooooo \ud83d \ude00 \x00 \x92 Ａ ＜ ＠ 𝐓 ½
\u0301 (at) gmail.com « ’ œ \u2028 ├ İ 가
"""
BLANKS = [" ", "  ", "\n", "\r", "\t"]
PIECE = st.sampled_from([*re.split("[ \n]", PIECES.strip()), *BLANKS])
TEXTS = st.text() | st.lists(PIECE, max_size=12).map("".join)
WRITABLE = TEXTS.filter(lambda text: not re.search("[\ud800-\udfff]", text))
MANY = settings(deadline=None, max_examples=150)


@MANY
@given(TEXTS)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once


@MANY
@given(TEXTS)
def test_masking_twice_is_masking_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@MANY
@given(TEXTS)
def test_no_control_character_and_no_half_of_a_pair_is_left(text: str) -> None:
    assert not [
        char
        for char in clean_text(text)
        if unicodedata.category(char) in ("Cc", "Cs") and char != "\n"
    ]


@MANY
@given(TEXTS)
def test_any_text_has_a_language_of_two_letters_or_none(text: str) -> None:
    assert re.fullmatch(r"[a-z]{2}|None", str(language(text)))


@MANY
@given(st.lists(st.none() | WRITABLE, max_size=5))
def test_a_column_comes_out_as_its_texts_one_by_one(texts: list[str | None]) -> None:
    together = clean_column(pa.array(texts, pa.string()))
    alone = [clean_column(pa.array([text], pa.string()))[0].as_py() for text in texts]
    assert together.to_pylist() == alone


@MANY
@given(st.lists(st.none() | WRITABLE, max_size=5))
def test_a_cleaned_column_cleaned_again_is_the_same(texts: list[str | None]) -> None:
    once = clean(pa.array(texts, pa.string()), mask=KINDS)
    assert clean(once.texts) == once
    assert len(once.texts) == len(texts)


@MANY
@given(WRITABLE)
def test_a_text_that_is_not_suspect_needs_no_repair(text: str) -> None:
    assert re.search(SUSPECT, text) or mask(clean_text(text)) == text
