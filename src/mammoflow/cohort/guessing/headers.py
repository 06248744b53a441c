"""Names that columns of case tables have in several languages."""

from __future__ import annotations

from mammoflow.cohort.plain_text import word_key
from mammoflow.cohort.readers._table_options import TableColumn
from mammoflow.cohort.word_lists import by_word

BRACKETS = str.maketrans(dict.fromkeys("()[]{}<>:,;", " "))
EXACT, PART = 1.0, 0.6
SHORTEST_PART = 4  # letters of a name that counts inside a longer header

HEADERS: dict[TableColumn, str] = {
    "image": "image, image file, image path, image file path, image name, file, filename, file name, filepath, file "
    "path, path, dicom, dicom file, dicom path, film, film file, img, picture, bild, bilddatei, bildname, "
    "datei, dateiname, dateipfad, pfad, fichier, chemin, archivo, imagen, ruta, immagine, percorso, "
    "afbeelding, bestand, bildfil, fil, arquivo, imagem, aufnahme datei",
    "mask": "mask, mask file, mask path, mask name, roi, roi mask, roi file, roi mask file path, segmentation, "
    "segmentation file, seg, maske, maskendatei, kontur, masque, mascara, maschera, masker, outline",
    "patient": "patient, patients, patient id, patientid, patient number, patient no, patient nr, patientnr, "
    "patientennummer, patientennr, pat id, patid, pat nr, patnr, pat, pid, mrn, subject, subject id, client "
    "id, case, fall, fallnummer, fallnr, fall nr, paciente, id paciente, numero paciente, paziente, id "
    "paziente, id patient, patiente, numero patient, no patient, woman, woman id, patientin, pat nummer",
    "side": "side, laterality, image laterality, left or right breast, left right, breast side, breast, l r, seite, "
    "brustseite, lateralitat, brust, cote, lateralite, sein, lado, lateralidad, mama, lato, lateralita, "
    "mammella, zijde, borst, sida, lateralidade",
    "view": "view, image view, view position, projection, ansicht, projektion, ebene, incidence, proyeccion, vista, "
    "proiezione, projectie, projecao, vy, aufnahme",
    "label": "label, pathology, diagnosis, malignant, malignancy, malign, class, classification, outcome, result, "
    "histology, ground truth, target, cancer, diagnose, befund, histologie, dignitat, ergebnis, pathologie, "
    "bosartig, diagnostic, diagnostico, patologia, resultado, anatomie pathologique, diagnosi, esito, "
    "istologia, uitslag, diagnos, histologi",
    "birads": "birads, bi rads, bi rads assessment, birads assessment, bi rads category, birads category, assessment, "
    "bi rads kategorie, birads kategorie, bi rads klasse, birads klasse, bi rads klassifikation, birads "
    "klassifikation, acr kategorie, categoria bi rads, bi rads categoria",
    "density": "density, breast density, acr density, density acr, dichte, brustdichte, drusendichte, parenchymdichte, "
    "acr dichte, acr typ, densite, densite mammaire, densidad, densita, dichtheid, tathet, densidade",
    "subtlety": "subtlety",
    "type": "type, abnormality type, lesion type, finding type, befundart, lasionstyp, lasionsart, typ, art, type "
    "lesion, type de lesion, tipo, tipo lesion, tipo de lesion, tipo lesione",
    "shape": "shape, mass shape, form, forme, forma",
    "margins": "margins, margin, mass margin, mass margins, rand, begrenzung, contour, contours, margenes, margini",
    "spacing": "spacing, pixel spacing, pixelspacing, imager pixel spacing, spacing mm, pixel spacing mm, pixel size, "
    "pixelsize, pixel size mm, pixel size um, mm per pixel, resolution, pixelabstand, pixelgrosse, "
    "pixelgroesse, auflosung, pixelgrosse um, pixelgrosse mm, taille pixel, taille du pixel, tamano pixel, "
    "dimensione pixel",
    "usable": "usable, use, ok, include, included, valid, verwendbar, brauchbar, nutzbar, auswertbar, utilisable, "
    "utilizable, utilizzabile, bruikbaar",
    "split": "split, set, subset, partition, dataset, datensatz, gruppe",
    "image_id": "image id, imageid, bild id, bildid, bildnummer, sop instance uid, sopinstanceuid",
    "lesion": "lesion, lesion id, abnormality id, lasion, lasion id, lasionsnummer, befundnummer, befund nr, roi id",
    "finding": "finding, finding id",
    "birth_date": "birth date, birthdate, date of birth, dob, geburtsdatum, date de naissance, fecha de nacimiento, "
    "data di nascita, geboortedatum",
    "age": "age, patient age, age years, age at exam, age at diagnosis, alter, patientenalter, edad, eta, leeftijd, "
    "idade",
    "sex": "sex, gender, geschlecht, sexe, sexo, sesso, geslacht",
}
BOXES: tuple[tuple[str, str, str, str], ...] = (
    ("box_y0", "box_x0", "box_y1", "box_x1"),
    ("y0", "x0", "y1", "x1"),
    ("ymin", "xmin", "ymax", "xmax"),
    ("y min", "x min", "y max", "x max"),
    ("bbox ymin", "bbox xmin", "bbox ymax", "bbox xmax"),
    ("bbox y0", "bbox x0", "bbox y1", "bbox x1"),
    ("y1", "x1", "y2", "x2"),
    ("top", "left", "bottom", "right"),
    ("oben", "links", "unten", "rechts"),
)
"""Headers of the four sides of a box: upper, left, lower, right."""
WIDTHS: tuple[tuple[str, ...], ...] = (
    ("width", "height"),
    ("w", "h"),
    ("bbox width", "bbox height"),
    ("breite", "hohe"),
)

_EXACT = {key: set(by_word({key: names})) for key, names in HEADERS.items()}


def likeness(header: str, column: TableColumn) -> float:
    """Return how well the name of a column fits what mammoflow looks for: 1 for a usual name, 0 for an unknown one."""
    key = _name(header)
    names = _EXACT[column]
    if key in names or key.replace(" ", "") in names:
        return EXACT
    words = key.split()
    if any(word in names for word in words if len(word) >= SHORTEST_PART):
        return PART
    return 0.0


def is_acr(header: str) -> bool:
    """Tell whether a column is named ACR alone: it is BI-RADS in some tables, and breast density in others."""
    return _name(header) == "acr"


def _name(header: str) -> str:
    """Return the words of a header in the form of a word of a table, without brackets."""
    return word_key(header.translate(BRACKETS)).replace("μ", "u")


def box_columns(headers: list[str]) -> dict[TableColumn, str]:
    """Return the columns of the four sides of a box, where the table has them."""
    by_key = {_name(header): header for header in headers}
    for names in BOXES:
        keys = [word_key(name) for name in names]
        if all(key in by_key for key in keys):
            y0, x0, y1, x1 = (by_key[key] for key in keys)
            return {"box_y0": y0, "box_x0": x0, "box_y1": y1, "box_x1": x1}
    return {}


def box_as_size(headers: list[str]) -> bool:
    """Tell whether the table has a box as a corner with width and height, which is not read."""
    keys = {_name(header) for header in headers}
    return any(set(names) <= keys for names in WIDTHS) and not box_columns(headers)
