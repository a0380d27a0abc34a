"""The words that shops and spreadsheets use for visible and hidden products, in many languages. Accents are ignored."""

YES = (
    "true", "yes", "y", "1", "on", "x", "checked", "wahr", "ja", "j", "vrai", "oui", "o", "verdadero", "si", "s",
    "sim", "verdadeiro", "vero", "waar", "tak", "prawda", "sant", "kylla", "evet", "да", "כן", "はい", "是",
)  # fmt: skip
NO = (
    "false", "no", "n", "0", "off", "unchecked", "falsch", "nein", "faux", "non", "falso", "nao", "nee", "onwaar",
    "nie", "fałsz", "nej", "falskt", "nei", "ei", "hayir", "нет", "לא", "いいえ", "否",
)  # fmt: skip
NEGATIONS = ("not ", "non ", "nicht ", "no ", "niet ", "nao ", "nie ", "inte ", "ikke ", "pas ", "un")
SHOWN = (
    "active", "activated", "aktiv", "actif", "activo", "activa", "attivo", "actief", "ativo", "aktywny", "enable",
    "enabled", "aktiviert", "activé", "activado", "habilitado", "publish", "published", "veröffentlicht", "publié",
    "publicado", "pubblicato", "gepubliceerd", "opublikowany", "publicerad", "public", "öffentlich", "público",
    "pubblico", "visible", "sichtbar", "visivel", "visibile", "zichtbaar", "widoczny", "synlig", "live", "online",
    "en ligne", "en línea", "listed", "gelistet", "available", "verfügbar", "disponible", "disponibile", "for sale",
    "on sale", "open", "show", "shown", "displayed", "visible individually", "both", "all", "everywhere", "partout",
    "überall", "global", "web", "catalog", "catalogue", "katalog", "catálogo", "catalogo", "search", "suche",
    "recherche", "búsqueda", "ricerca", "catalog search", "search catalog", "catalog and search", "shop",
    "shop and search results", "catalogue recherche", "katalog suche", "catálogo búsqueda", "catálogo y búsqueda",
    "katalog und suche", "catalogue et recherche", "in stock", "instock", "out of stock", "sold out", "ausverkauft",
    "épuisé", "agotado", "preorder", "pre order", "backorder", "new", "neu", "nouveau", "nuevo", "approved",
    "complete",
)  # fmt: skip
STATES = {
    "draft": (
        "draft", "auto draft", "entwurf", "brouillon", "borrador", "bozza", "concept", "rascunho", "szkic", "utkast",
        "kladde", "luonnos", "taslak", "черновик", "טיוטה", "下書き", "草稿",
    ),
    "archived": (
        "archived", "archive", "archiviert", "archivé", "archivado", "archiviato", "gearchiveerd", "arquivado",
        "zarchiwizowany", "arkiverad", "arkiveret", "arkivert", "arkistoitu", "arşivlendi",
    ),
    "unlisted": (
        "unlisted", "not listed", "nicht gelistet", "nicht aufgeführt", "non listé", "non répertorié", "no listado",
        "no enlistado", "non in elenco", "niet vermeld", "não listado",
    ),
    "hidden": (
        "hidden", "hide", "invisible", "none", "nowhere", "not visible individually", "versteckt", "verborgen",
        "ausgeblendet", "unsichtbar", "nirgendwo", "nirgends", "masqué", "caché", "nulle part", "oculto", "oculta",
        "escondido", "invisível", "ningún sitio", "en ninguna parte", "nascosto", "invisibile", "da nessuna parte",
        "onzichtbaar", "ukryty", "dold", "skjult", "piilotettu", "nicht einzeln sichtbar",
        "non visible individuellement", "no visible individualmente",
    ),
    "inactive": (
        "inactive", "inaktiv", "inactif", "inactivo", "inactiva", "inattivo", "inactief", "inativo", "nieaktywny",
        "disable", "disabled", "deactivated", "deaktiviert", "désactivé", "desactivado", "deshabilitado",
        "disattivato", "disabilitato", "uitgeschakeld", "desativado", "offline", "hors ligne", "fuera de línea",
        "suspended", "paused", "discontinued", "eingestellt", "abandonné", "descatalogado", "expired", "closed",
        "blocked", "deleted", "gelöscht", "supprimé", "eliminado", "removed", "trash", "trashed", "papierkorb",
        "corbeille", "papelera", "unavailable", "rejected", "incomplete",
    ),
    "unpublished": (
        "unpublished", "unveröffentlicht", "dépublié", "despublicado", "private", "privat", "privé", "privado",
        "privato", "pending", "pending review", "in review", "ausstehend", "en attente", "pendiente", "in attesa",
        "password", "password protected", "internal", "intern",
    ),
    "scheduled": (
        "scheduled", "future", "coming soon", "geplant", "planifié", "programmé", "programado", "programmato",
        "gepland", "agendado",
    ),
}  # fmt: skip
