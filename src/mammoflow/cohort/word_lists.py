"""Words that case tables use, in the languages of their hospitals.

Each list is keyed by meaning; its words have the form of `mammoflow.cohort.plain_text.word_key`. A word that means
different things in two languages is in no list; each single letter of a side means one side in all of them.
"""

from __future__ import annotations

from typing import Literal

Label = Literal["malignant", "benign", "normal"]


def by_word(lists: dict[str, str]) -> dict[str, str]:
    """Turn lists of words, with commas between them, into word to meaning."""
    return {word.strip(): meaning for meaning, words in lists.items() for word in words.split(",")}


LABELS: dict[Label, str] = {
    "malignant": "malignant, malign, maligne, maligna, maligno, malignes, malignancy, malin, cancer, krebs, karzinom, "
    "carcinoma, carcinome, kanker, cancro, bosartig, boesartig, kwaadaardig, elakartad, ondartet, złosliwy, złosliwa, "
    "zlosliwy, zlosliwa, zhoubny, true, 1",
    "benign": "benign, benigne, benigna, benigno, benignes, benin, benign without callback, gutartig, goedaardig, "
    "godartad, godartet, łagodny, łagodna, lagodny, lagodna, nezhoubny, false, 0",
    "normal": "normal, normale, normaal, normalt",
}
SIDES = {
    "L": "l, g, s, i, e, v, izda, izqda, left, lt, lft, li, links, linke, linker, linke brust, gauche, sein gauche, "
    "izquierda, izquierdo, izq, sinistra, sinistro, sin, sx, esquerda, esquerdo, esq, vanster, vansterbrost, "
    "venstre, vasen, lewa, "
    "lewy, leva, levy, left breast, l breast, sinister",
    "R": "r, d, h, dcha, dcho, right, rt, rgt, re, rechts, rechte, rechter, rechte brust, droite, droit, sein droit, "
    "derecha, derecho, der, destra, destro, dx, direita, direito, dir, hoger, hogerbrost, hoyre, hojre, højre, høyre, "
    "oikea, prawa, prawy, prava, pravy, right breast, r breast, dexter",
}
VIEWS = {
    "CC": "cc, craniocaudal, cranio caudal, kraniokaudal, kranio kaudal, craneocaudal, craneo caudal, craniocaudale, "
    "cranio caudale, craniocaudaal, kranio kaudaal",
    "MLO": "mlo, mediolateral oblique, medio lateral oblique, mediolateraloblique, mediolateral schrag, mediolateral "
    "oblik, oblique, oblicua, obliqua, oblik, schrag, schraeg, medio lateral oblicua, mediolateral oblicua, "
    "mediolaterale obliqua, medio laterale obliqua, mediolaterale oblique, mediolateral obliqua, oblique externe, "
    "medio laterale oblique",
    "ML": "ml, mediolateral, medio lateral, mediolaterale, medio laterale",
    "LM": "lm, lateromedial, latero medial, lateromediale, latero mediale",
    "LMO": "lmo, lateromedial oblique, latero medial oblique",
    "XCC": "xcc, exaggerated craniocaudal",
    "XCCL": "xccl, exaggerated craniocaudal laterally",
    "XCCM": "xccm, exaggerated craniocaudal medially",
    "FB": "fb, caudocranial, caudo cranial, from below",
    "SIO": "sio, superolateral to inferomedial oblique",
    "ISO": "iso, inferomedial to superolateral oblique",
    "CV": "cv, cleavage, cleavage view",
    "AT": "at, axillary tail, cleopatra",
}
GLUED_VIEWS = ("CC", "MLO", "ML", "LMO", "XCC", "XCCL", "XCCM", "LM")
"""Views that a side may be written before or behind without a separator, such as LCC or MLOR."""
YES = (
    "yes, y, true, t, 1, ja, j, oui, o, si, s, sim, tak, ano, kylla, ok, x, usable, good, wahr, vrai, verdadero, vero, "
    "verdadeiro, sant"
)
NO = (
    "no, n, false, f, 0, nein, non, nao, nee, nej, nei, nie, ne, ei, unusable, not usable, bad, exclude, excluded, "
    "falsch, faux, falso, falskt, onwaar"
)
LESION_TYPES = {
    "mass": "mass, masses, masse, masa, massa, nodule, nodulo, knoten, herd, herdbefund, massen, knuta, knude",
    "calcification": "calcification, calcifications, calc, calcs, microcalcification, microcalcifications, kalk, "
    "verkalkung, verkalkungen, mikrokalk, mikroverkalkung, mikroverkalkungen, calcificacion, calcificaciones, "
    "microcalcificacion, microcalcificaciones, calcificazione, calcificazioni, microcalcificazioni, calcificacao, "
    "calcificacoes, microcalcificacoes, verkalking, verkalkingen, forkalkning, forkalkningar, mikroforkalkningar",
}
OFFICIAL_SPLITS = {
    "train": "train, training, trainset, train set, validation, val, valid, dev, development",
    "test": "test, testing, tests, testset, test set, holdout, hold out",
}
