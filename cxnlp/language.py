"""A text → the language it is written in.

Comes in: one cleaned text. Goes out: an ISO 639-1 code, or None when it has no words.
A French comment set aside by mistake is lost, a foreign one kept by mistake is only noise. So
a short, noisy or undecided text is French, unless it has words that are another language's own.
Left out: telling the languages of a comment in two; it is French when a good part of it is.
"""

import copy
import re
from collections import Counter
from functools import cache
from itertools import chain
from typing import Any, Final

# Frequent words, and words of praise and blame, by language. A word of two lists proves nothing
# and is struck from both (see `_own`), so that French words that English has too are listed here.
_WORDS: Final = {
    "fr": """
        a à ai aie ait alors ans après arnaque as assez au aucun aucune aussi autre autres aux
        avaient avais avait avant avec avez avoir avons bad basique bcp beau beaucoup bien bof
        bon bonjour bonne bonnes bons bravo but c' ça car ce cela celle celui ces cet cette
        chaque chat cher chère chez client comme comment con conforme content contente cool
        cordialement correct correcte d' dans de déçu déçue déjà délai délais depuis des dès
        deux dire do dommage donc dont du efficace elle elles en encore entre équipe es est et
        étaient était état été être eu excellence excellent excellente facile faire fait faut
        fin font fort franchement géant génial geniale good grand grande gros hotel hyper ici
        idem il ils j' jamais je jusqu' l' la là le les leur leurs lieu location lors lui m' ma
        magnifique main mais mal malgré mauvais mauvaise me même merci mes mieux moi moins mon
        moyen n' ne ni nice nickel nos notre nous nul nulle on ont or ou où oui ouais par parce
        parfait parfaite pas pendant petit petite peu peut peux pk place plus plutôt point pour
        pourquoi prestation près prix problème propre pu puis qu' qualité quand que quel quelle
        quelque quelques qui quoi rapide rapport ras ravi ravie recommande rest rien rdv s' sa
        sans satisfait satisfaite sauf se sera service ses seul si site soit sommes son sont
        sous suis super superbe sur svp sympa sympathique t' ta tarif te temps terrible horrible
        tes tjr tjrs tjs ton top toujours tous tout toute toutes très trop trouvé tu un une va
        vais vers veut veux voici voilà voir vont vos votre vous vrai vraiment vu y ya zéro
        accueil attente expérience quick courtois non dit ci mis met su café hier foi dos mit
        fur rude bu sobre man nu ile happy uns onze van om bun ha bis uber alla sus onde cheap
        com rester personnes personne agréable cuisine dsl mdr aller allez mention train
        pressing restaurant free
    """,
    "en": """
        the and is was are were be been it it' this that these those with for from of to at by
        as a an my we we' our you your they they' them their there here have has had having not
        no can' cannot don' didn' doesn' wasn' isn' won' couldn' wouldn' would will could should
        very good great excellent amazing awesome lovely friendly nice helpful clean dirty
        comfortable bad best poor worst terrible horrible food breakfast room rooms stay stayed
        staff place again which what when who how why just but so too also than then only all
        more most on or recommend recommended everything nothing never always ever highly well
        location money delivery fast disappointed disappointing love loved i i' he she do did
        does about after before because if out up into over some any much many in delicious
        beautiful perfect rude slow broken waste refund thank thanks customer enjoyed wonderful
        expensive cheap value experience return ordered order arrived really quick easy happy
        quality price cozy small tiny bathroom bathrooms bed beds comfy convenient shower old
        quiet elevator smell bit little needs needed noise noisy towels cold hot warm facilities
    """,
    "es": """
        el los las del y pero muy con para por una un uno es está esta este están son fue era
        eran hay había no lo más como cuando donde todo todos todas nada también que de la en se
        me bueno buena buenos buenas excelente mejor peor malo mala mal habitación habitaciones
        desayuno comida limpio limpia limpieza personal ubicación precio calidad recomendable
        recomiendo gracias nos nuestra nuestro mi mis su sus sin sobre hasta desde porque si
        atención amable amables trato cerca muchas mucho mucha tiene tienen ha han volver
        volveremos encanta encantó genial gusto gustó perfecto perfecta servicio rápido rápida
        llegó pedido tienda dinero hemos estuvo a al te ni o bien sucio sucia caro cara entre
        contento contenta vergüenza horrible
    """,
    "de": """
        der die das den dem ein eine einen einem einer und ist war waren sind nicht mit für auf
        von zu zum zur im in am an aber auch sehr gut gute guter gutes schön schöne schönes wir
        ich uns es er sie man haben hat hatte hatten wird wurde wurden kein keine nur noch schon
        wie was wenn dass oder bei nach aus über unter zimmer frühstück personal essen lage
        freundlich freundliches sauber leider alles immer wieder nie viel preis bestellung
        lieferung schnell empfehlen empfehlenswert danke toll tolle ganz etwas mehr sich bis vor
        hier so des schlecht schlechter teuer gerne unser ware qualität einfach hotel service
        super perfekt
    """,
    "it": """
        il lo la gli le i della dello delle dei degli del nel nella nelle di che è era erano
        sono non con per molto molta molti anche ma più come quando dove tutto tutti tutta
        abbiamo ho hanno ottimo ottima ottimi buono buona buoni bello bella bellissimo
        bellissima camera camere colazione posizione personale gentile gentili pulito pulita
        pulizia consigliato consiglio consigliatissimo servizio prezzo qualità siamo stati stato
        stata questo questa questi nostro nostra grazie da al alla dal dalla sul sulla cibo mai
        sempre perfetto perfetta cortese cortesi tornerò torneremo pessimo pessima un una uno in
        mi si se ci e o bene male sporco sporca soldi ordine arrivato pacco lento consegna
        troppo l' d' c' un'
    """,
    "pt": """
        o os a as do da dos das no na nos nas um uma e é não com para por muito muita bom boa
        bons boas mas mais como quando onde tudo todos foi era são estava está ótimo ótima
        excelente melhor pior quarto quartos café atendimento funcionários limpo limpeza
        localização preço qualidade recomendo obrigado obrigada nosso nossa meu minha seu sua
        sem também ao pelo pela você voltar adorei gostei fomos serviço rápido rápida entrega
        comida que de se me em bem mal chegou produto péssimo péssima dinheiro nunca sempre
        simpático até eu
    """,
    "nl": """
        de het een van en is was waren niet met voor op te zijn wij we ik je jij ze dat dit deze
        die maar ook heel erg zeer goed goede mooi mooie leuk leuke lekker lekkere vriendelijk
        vriendelijke kamer kamers ontbijt personeel eten ligging schoon helaas alles altijd weer
        nooit veel prijs bestelling levering snel aanrader hebben heeft had hadden geen nog wel
        naar bij uit over onder als of er ons onze mijn hun door zo meer dank bedankt in om aan
        slecht slechte duur hotel service super
    """,
    "ro": """
        și este sunt nu cu pentru din foarte bun bună mult mai dar care personalul curat
        recomand mulțumesc frumos frumoasă fost camera ce un o a la de mic am
    """,
    "pl": """
        nie jest są był była było bardzo dobry dobra dobre ale się że jak dla polecam pokój
        śniadanie obsługa czysto miło dziękuję tylko już przez i w z na do to tak
    """,
    "tr": """
        ve bir bu çok için ile ama güzel iyi değil otel oda odalar kahvaltı temiz tavsiye ederim
        teşekkürler kadar olarak var yok her da de
    """,
}
_LATIN: Final = tuple(_WORDS)
_SHORT: Final = 5  # words up to which the statistics of letters say little
_ENOUGH: Final = 500  # characters that the statistics of letters need
_SURE: Final = 0.9  # probability from which they are believed without a known word
# Near relations of French and catch-alls of the letter statistics: they only take from French.
_NEVER: Final = frozenset(["an", "br", "eo", "gl", "ht", "la", "lb", "oc", "vo", "wa"])
_TOKEN: Final = re.compile(r"[^\W\d_]+'?")
_MARK: Final = re.compile(r"\[(?:lien|compte|email|telephone|iban|carte|nir)\]")
_ACCENTS: Final = str.maketrans(
    "àâäáãçéèêëîïìíóôöòõùûüúÿñșțąęłńśźżğışć", "aaaaaceeeeiiiiooooouuuuynstaelnszzgisc"
)
_LATIN_LETTER: Final = re.compile(r"[A-Za-zÀ-ɏ]")
_OTHER_LETTER: Final = re.compile(r"[^\W\d_A-Za-zÀ-ɏªº]")
_ACCENTED: Final = re.compile("[àâçèéêîôùûœÀÂÇÈÉÊÎÔÙÛŒ]")
_STRANGE_LETTER: Final = re.compile(r"[^\W\d_A-Za-zàâçéèêëîïôùûüÿœæÀÂÇÉÈÊËÎÏÔÙÛÜŸŒÆáÁªº]")


def language(text: str) -> str | None:
    """Return the ISO 639-1 code of the language of `text`, or None when it has no words.

    >>> language("TRES BIEN RIEN A DIRE"), language("Very good hotel"), language("👍👍 5/5")
    ('fr', 'en', None)
    """
    words = _TOKEN.findall(_MARK.sub(" ", text).lower().replace("’", "'"))
    if not words:
        return None
    own = _own()
    distinct = dict.fromkeys(words)  # in order: of languages that tie, the first one spoken
    counts = Counter(own[word] for word in distinct if word in own)
    french = counts.pop("fr", 0)
    other, known = counts.most_common(1)[0] if counts else ("fr", 0)
    if french >= max(known, 2):
        return "fr"
    if len(_OTHER_LETTER.findall(text)) > len(_LATIN_LETTER.findall(text)):
        return _guess(text, _identifier_of_all())[0]
    if len(words) <= _SHORT:
        return _of_few_words(text, french, other, known)
    guess, _ = _guess(text, _identifier())
    if guess == "fr":
        return other if not french and known >= 3 else "fr"
    if counts[guess] <= french and (french > 1 or (french and not _STRANGE_LETTER.search(text))):
        return "fr"
    wider, sure = _guess(text, _identifier_of_all())
    if sure >= _SURE and wider not in _LATIN:
        return wider
    return guess if counts[guess] > french or (not french and sure >= _SURE) else "fr"


def _of_few_words(text: str, french: int, other: str, known: int) -> str:
    """French, unless two words or a word and the letters say otherwise."""
    if french or (other == "en" and _ACCENTED.search(text)):  # « Fast food bondé »
        return "fr"
    if known >= 2 or (known and _guess(text, _identifier())[0] == other):
        return other
    if _STRANGE_LETTER.search(text):
        wider, sure = _guess(text, _identifier_of_all())
        return wider if sure >= _SURE else "fr"
    return "fr"


@cache
def _own() -> dict[str, str]:
    """Word → the one language that has it, with and without its accents."""
    forms = {
        code: {form for word in words.split() for form in (word, word.translate(_ACCENTS))}
        for code, words in _WORDS.items()
    }
    uses = Counter(chain.from_iterable(forms.values()))
    return {word: code for code, words in forms.items() for word in words if uses[word] == 1}


def _guess(text: str, identifier: Any) -> tuple[str, float]:
    """The language that the letters suggest, and its probability."""
    code, probability = identifier.classify(text[:_ENOUGH].lower())
    return str(code), float(probability)


def _identifier_of_all() -> Any:
    """Every language with an ISO 639-1 code."""
    return _identifiers()[0]


def _identifier() -> Any:
    """The languages of `_WORDS` alone; shares the arrays of the other."""
    return _identifiers()[1]


@cache
def _identifiers() -> tuple[Any, Any]:
    """Loading takes about a second, once a process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    every = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    codes = [code for code in every.labels if len(code) == 2 and code not in _NEVER]
    every.set_languages(codes)
    latin = copy.copy(every)
    latin.set_languages(_LATIN)
    for one in (every, latin):
        one._full_model = None  # 28 MB, which only another choice of languages would need
    return every, latin
