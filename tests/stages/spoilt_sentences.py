"""Sentences that models should not write, in four languages."""

SAID_FIRST = {
    "en": "Sure! Here is the blog post you asked for:",
    "de": "Gerne! Hier ist der gewünschte Blogbeitrag:",
    "fr": "Bien sûr ! Voici l'article de blog demandé :",
    "es": "¡Claro! Aquí tienes el artículo para el blog:",
}
SAID_FIRST_TOO = {
    "en": "Here's a revised version of the article.",
    "de": "Natürlich. Nachfolgend finden Sie den überarbeiteten Artikel.",
    "fr": "Voici la version corrigée de l'article.",
    "es": "A continuación se muestra la versión revisada del artículo.",
}
SAID_LAST = {
    "en": "I hope this helps! Let me know if you would like any changes.",
    "de": "Ich hoffe, das hilft! Sagen Sie mir, ob ich etwas ändern soll.",
    "fr": "J'espère que cela vous aide ! N'hésitez pas à me demander une autre version.",
    "es": "¡Espero que esto te ayude! Avísame si quieres algún cambio.",
}
COUNTED = {
    "en": "(Word count: 912)",
    "de": "Wortzahl: 912",
    "fr": "Nombre de mots : 912",
    "es": "Número de palabras: 912",
}
OF_ITSELF = {
    "en": "As an AI language model, I cannot taste coffee.",
    "de": "Als KI-Sprachmodell kann ich keinen Kaffee kosten.",
    "fr": "En tant que modèle de langage, je ne goûte pas le café.",
    "es": "Como modelo de lenguaje, no puedo probar el café.",
}
LABELS = {"en": "Introduction", "de": "Einleitung", "fr": "Introduction", "es": "Introducción"}
ENDS = {"en": "Conclusion", "de": "Fazit", "fr": "Conclusion", "es": "Conclusión"}
TO_FILL = {
    "en": "[insert store name]",
    "de": "[Hier Produktnamen einfügen]",
    "fr": "[insérer le nom de la boutique]",
    "es": "[insertar nombre de la tienda]",
}
SEE = {
    "en": "See https://elsewhere.example/mugs or ask us.",
    "de": "Siehe z. B. https://elsewhere.example/mugs oder fragen Sie uns.",
    "fr": "Voir https://elsewhere.example/mugs ou demandez-nous.",
    "es": "Vea https://elsewhere.example/mugs o pregúntenos.",
}
WRITE = {
    "en": "Write to info@elsewhere.example for more.",
    "de": "Schreiben Sie an info@elsewhere.example für mehr.",
    "fr": "Écrivez à info@elsewhere.example pour en savoir plus.",
    "es": "Escriba a info@elsewhere.example para saber más.",
}
DEARER = {
    "en": "The Low Water Mug costs only $19.99 today.",
    "de": "Der Low Water Mug kostet heute nur 19,99 $.",
    "fr": "Le Low Water Mug coûte aujourd'hui seulement 19,99 $.",
    "es": "La Low Water Mug cuesta hoy solo 19,99 $.",
}
EUROS = {
    "en": "It costs €26.00.", "de": "Er kostet 26,00 €.", "fr": "Il coûte 26,00 €.", "es": "Cuesta 26,00 euros.",
}  # fmt: skip
LARGER = {
    "en": "The Low Water Mug holds 450 ml.",
    "de": "Der Low Water Mug fasst 450 ml.",
    "fr": "Le Low Water Mug contient 450 ml.",
    "es": "La Low Water Mug contiene 450 ml.",
}
HEAVIER = {
    "en": "The Low Water Mug stands firm. It weighs 410 g.",
    "de": "Der Low Water Mug steht fest. Er wiegt 410 g.",
    "fr": "Le Low Water Mug tient bien. Il pèse 410 g.",
    "es": "La Low Water Mug está firme. Pesa 410 g.",
}
OF_CHINA = {
    "en": "The Low Water Mug is made of fine porcelain.",
    "de": "Der Low Water Mug besteht aus feinem Porzellan.",
    "fr": "Le Low Water Mug est fabriqué en porcelaine.",
    "es": "La Low Water Mug está hecha de porcelana.",
}
SETS = {
    "en": "The Low Water Mug comes in a set of six.",
    "de": "Den Low Water Mug gibt es im 6er-Set.",
    "fr": "Le Low Water Mug est vendu en lot de six.",
    "es": "La Low Water Mug se vende en un juego de seis.",
}
PRIZED = {
    "en": "The Low Water Mug won a design award in 2023.",
    "de": "Der Low Water Mug wurde 2023 mit dem Designpreis ausgezeichnet.",
    "fr": "Le Low Water Mug a reçu le prix du design en 2023.",
    "es": "La Low Water Mug ganó el premio de diseño en 2023.",
}
RATED = {
    "en": "The Low Water Mug has 4.9 out of 5 stars.",
    "de": "Der Low Water Mug hat 4,9 von 5 Sternen.",
    "fr": "Plus de 2 300 clients ont choisi le Low Water Mug.",
    "es": "Más de 2.300 clientes tienen la Low Water Mug.",
}
GUARANTEED = {
    "en": "The Low Water Mug comes with a five-year warranty.",
    "de": "Auf den Low Water Mug gibt es zwei Jahre Garantie.",
    "fr": "Le Low Water Mug est garanti deux ans.",
    "es": "La Low Water Mug tiene dos años de garantía.",
}
STUDIED = {
    "en": "According to a recent study, most people drink their coffee lukewarm.",
    "de": "Laut einer Studie trinken die meisten ihren Kaffee lauwarm.",
    "fr": "Selon une étude, la plupart des gens boivent leur café tiède.",
    "es": "Según un estudio, la mayoría de la gente toma el café tibio.",
}
QUOTES = {
    "en": "“I use no other,” says Anna Weiss, who has three.",
    "de": "„Ich nehme keine andere“, sagt Anna Weiss, die drei hat.",
    "fr": "« Je n'en prends pas d'autre », dit Anna Weiss, qui en a trois.",
    "es": "«No uso otra», dice Anna Weiss, que tiene tres.",
}
VISITED = {
    "en": "Click here for more.",
    "de": "Klicken Sie hier für mehr.",
    "fr": "Cliquez ici pour en lire plus.",
    "es": "Haga clic aquí para leer más.",
}
ABBREVIATED = {
    "en": "With a full load the flask keeps water hot for approx.",
    "de": "Wer morgens Bahn fährt, nimmt eine Flasche mit, die fasst ca.",
    "fr": "La bouteille garde l'eau chaude pendant env.",
    "es": "La botella mantiene el agua caliente durante aprox.",
}
BROKEN_OFF = {
    "en": "Whoever takes the train in the morning is better served by a flask with a",
    "de": "Wer morgens mit der Bahn fährt, ist besser bedient mit einer Flasche, die",
    "fr": "Qui prend le train le matin est mieux servi par une bouteille avec un",
    "es": "Quien toma el tren por la mañana está mejor servido con una botella de",
}
